//! The other end of a call that the server makes: a little HTTP server that answers what it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

/// Answers every request with what is made of its head and its body, as often as it is asked.
pub(crate) fn serve(answer: impl Fn(&str, &[u8]) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let answer = Arc::clone(&answer);
            std::thread::spawn(move || converse(&connection.unwrap(), answer.as_ref()));
        }
    });
    address
}

/// Until the caller goes.
fn converse(mut connection: &TcpStream, answer: &dyn Fn(&str, &[u8]) -> Vec<u8>) -> Option<()> {
    let mut reader = BufReader::new(connection.try_clone().unwrap());
    loop {
        let (mut length, mut head, mut line) = (0, String::new(), String::new());
        while reader.read_line(&mut line).ok()? > 2 {
            if let Some(text) = line.to_lowercase().strip_prefix("content-length:") {
                length = text.trim().parse().unwrap();
            }
            head.push_str(&line);
            line.clear();
        }
        if head.is_empty() {
            return None;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let body = answer(&head, &body);
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all(head.as_bytes()).ok()?;
        connection.write_all(&body).ok()?;
    }
}
