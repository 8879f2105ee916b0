//! `gatefleet-proxy admin PATH`: asks the admin socket of the proxy in this pod.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    time::Duration,
};

use crate::{
    cli::{Cli, Method},
    run::Error,
};

use super::OperationsError;

/// Prints the answer; the exit status tells whether it was good.
pub(crate) fn ask(cli: &Cli, path: &str, method: Method) -> Result<ExitCode, Error> {
    let socket = cli.admin_socket();
    let asked = UnixStream::connect(&socket).and_then(|stream| exchange(stream, path, method));
    let answer = asked.map_err(|error| OperationsError::Socket(socket, error))?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let good = head.split(' ').nth(1).is_some_and(|status| status.starts_with('2'));
    // A reader that went away has read enough.
    drop(io::stdout().write_all(body.as_bytes()));
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn exchange(mut stream: UnixStream, path: &str, method: Method) -> io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let verb = match method {
        Method::Get => "GET",
        Method::Post => "POST",
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    // HTTP/1.0: the answer ends with the connection.
    write!(stream, "{verb} {slash}{path} HTTP/1.0\r\nhost: admin\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}
