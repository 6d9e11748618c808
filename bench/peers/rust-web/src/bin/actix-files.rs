//! A directory by actix-files, with one worker: `actix-files ADDRESS DIRECTORY`.

use actix_web::{App, HttpServer};
use std::{env, error::Error};

#[actix_web::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let address = arguments.next().ok_or("no address")?;
    let directory = arguments.next().ok_or("no directory")?;
    let app = move || App::new().service(actix_files::Files::new("/", &directory));
    HttpServer::new(app).workers(1).bind(address)?.run().await?;
    Ok(())
}
