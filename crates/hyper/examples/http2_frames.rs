//! One file over HTTP/2 in three ways, on one thread, to be measured beside each other (bench/http2/run):
//! `http2_frames (sendfile|mapped|read) ADDRESS FILE`.

use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sendrail_hyper::{FileBody, ZeroCopy};
use std::{env, error::Error, fs::File, io, sync::Arc};
use tokio::net::TcpListener;

/// How a frame leaves.
#[derive(Clone, Copy)]
enum Way {
    /// Its head by one call, its content by sendfile or splice.
    Sendfile,
    /// Copied from the file's mapping, which is looked at before.
    Mapped,
    /// Copied from what read(2) has copied.
    Read,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let way = match arguments.next().as_deref() {
        Some("sendfile") => Way::Sendfile,
        Some("mapped") => Way::Mapped,
        Some("read") => Way::Read,
        other => return Err(format!("sendfile, mapped or read, not {other:?}").into()),
    };
    let address = arguments.next().ok_or("no address")?;
    let file = Arc::new(File::open(arguments.next().ok_or("no file")?)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(address).await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            tokio::spawn(serve(way, ZeroCopy::new(socket), Arc::clone(&file)));
        }
    })
}

async fn serve(way: Way, socket: ZeroCopy<tokio::net::TcpStream>, file: Arc<File>) {
    let socket = match way {
        Way::Sendfile => socket.by_engine_above(8 << 10),
        Way::Mapped | Way::Read => socket,
    };
    let service = service_fn(move |_: Request<Incoming>| {
        let body = body(way, &file);
        async move { Ok::<_, io::Error>(Response::new(body?)) }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    if let Err(error) = builder.serve_connection(TokioIo::new(socket), service).await {
        eprintln!("a connection broke: {error}");
    }
}

type Boxed = http_body_util::combinators::BoxBody<bytes::Bytes, io::Error>;

fn body(way: Way, file: &Arc<File>) -> io::Result<Boxed> {
    use http_body_util::BodyExt;

    let whole = FileBody::whole(Arc::clone(file))?;
    Ok(match way {
        Way::Sendfile => whole.boxed(),
        Way::Mapped => whole.to_be_copied().boxed(),
        Way::Read => {
            let mut bytes = vec![0; file.metadata()?.len() as usize];
            std::os::unix::fs::FileExt::read_exact_at(&**file, &mut bytes, 0)?;
            http_body_util::Full::new(bytes::Bytes::from(bytes))
                .map_err(|never| match never {})
                .boxed()
        }
    })
}
