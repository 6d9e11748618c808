//! Coming from Netty: each row of that table in docs/coming-from.md, run. `cargo run --example coming_from_netty`

mod support;

use bytes::Bytes;
use sendrail_transfer::{Chain, FileRange, Method, Options, Receipt, blocking};
use std::{net::TcpStream, ops::ControlFlow, sync::Arc};
use support::{Outcome, bytes, file_of, row, sent};

fn main() -> Outcome {
    default_file_region()?;
    transferred()?;
    chunked_file()?;
    chunked_nio_file()?;
    composite_byte_buf()?;
    wrapped_buffer()?;
    slices()?;
    response_in_parts()
}

fn send(socket: &TcpStream, chain: Chain) -> Outcome<Receipt> {
    Ok(blocking::send(socket, chain, Options::default())?)
}

/// `ctx.write(new DefaultFileRegion(file, position, count))`
fn default_file_region() -> Outcome {
    let expected = bytes(300_000);
    let file = file_of(&expected)?;
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(Arc::clone(&file), 0, 200_000));
    chain.push_file(FileRange::new(file, 200_000, 100_000)); // retain() is Arc::clone, release() is drop
    let (got, receipt) = sent(|socket| send(socket, chain))?;
    row("DefaultFileRegion", &got, &expected, receipt)
}

/// `region.transferred()`, or a `ChannelProgressiveFutureListener`
fn transferred() -> Outcome {
    let expected = bytes(5 << 20);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&expected)?, 0, 5 << 20));
    let (got, told) = sent(|socket| {
        let mut told = Vec::new();
        let receipt =
            blocking::send_with_progress(socket, chain, Options::default(), &mut |transferred| {
                told.push(transferred);
                ControlFlow::Continue(())
            })?;
        assert_eq!(told.last(), Some(&receipt.bytes));
        Ok(told.len())
    })?;
    row("FileRegion.transferred", &got, &expected, format!("told {told} times"))
}

/// `new ChunkedFile(file, 8192)` under a `ChunkedWriteHandler`: through memory, a chunk at a time
fn chunked_file() -> Outcome {
    let expected = bytes(300_000);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&expected)?, 0, 300_000));
    let options = Options { method: Some(Method::Copy), window: 8192, ..Options::default() };
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, options)?))?;
    assert_eq!(receipt.copied, 600_000); // each byte twice
    row("ChunkedFile", &got, &expected, receipt)
}

/// `new ChunkedNioFile(channel, offset, length, chunkSize)`
fn chunked_nio_file() -> Outcome {
    let expected = bytes(300_000);
    let mut chain = Chain::new();
    chain.push_file(FileRange::new(file_of(&expected)?, 50_000, 100_000));
    let options = Options { method: Some(Method::Copy), window: 64 << 10, ..Options::default() };
    let (got, receipt) = sent(|socket| Ok(blocking::send(socket, chain, options)?))?;
    row("ChunkedNioFile", &got, &expected[50_000..150_000], receipt)
}

/// `Unpooled.compositeBuffer().addComponents(true, head, body)`
fn composite_byte_buf() -> Outcome {
    let mut chain = Chain::new();
    chain.push_bytes("head, ");
    chain.push_bytes(vec![b'x'; 3]);
    let (got, receipt) = sent(|socket| send(socket, chain))?;
    row("CompositeByteBuf", &got, b"head, xxx", receipt)
}

/// `Unpooled.wrappedBuffer(array)`: nothing is copied
fn wrapped_buffer() -> Outcome {
    let array = bytes(100_000);
    let place = array.as_ptr();
    let wrapped = Bytes::from(array);
    assert_eq!(wrapped.as_ptr(), place);
    let mut chain = Chain::new();
    chain.push_bytes(wrapped);
    let (got, receipt) = sent(|socket| send(socket, chain))?;
    row("Unpooled.wrappedBuffer", &got, &bytes(100_000), receipt)
}

/// `buffer.slice(index, length)` and `buffer.retainedSlice(index, length)`: both are this, and none can be forgotten to release
fn slices() -> Outcome {
    let whole = Bytes::from(bytes(100_000));
    let mut chain = Chain::new();
    chain.push_bytes(whole.slice(90_000..));
    chain.push_bytes(whole.slice(..10));
    drop(whole);
    let (got, receipt) = sent(|socket| send(socket, chain))?;
    let all = bytes(100_000);
    row("ByteBuf.retainedSlice", &got, &[&all[90_000..], &all[..10]].concat(), receipt)
}

/// `write(response); write(new DefaultFileRegion(…)); writeAndFlush(LastHttpContent)`: one message
fn response_in_parts() -> Outcome {
    let body = bytes(300_000);
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n";
    let mut chain = Chain::new();
    chain.push_bytes(head);
    chain.push_file(FileRange::new(file_of(&body)?, 0, 300_000));
    let (got, receipt) = sent(|socket| send(socket, chain))?;
    assert_eq!(receipt.copied, head.len() as u64); // the head alone
    row("HttpResponse, FileRegion", &got, &[head.as_bytes(), &body].concat(), receipt)
}
