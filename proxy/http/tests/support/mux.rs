//! A multiplexed peer in memory: many requests share one connection as tagged frames. It proves that nothing in
//! the exchange assumes HTTP/1.1.
#![allow(
    dead_code,
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    missing_docs,
    unreachable_pub,
    reason = "shared by several test binaries"
)]

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    task::{Context, Poll, ready},
};

use gatefleet_http::{
    Body, Checkout, Chunk, ConnectError, Downstream, Fields, Lease, Report, RequestHead,
    ResponseHead, Sink, Source, StreamError, Upstream, Upstreams, serve_request,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::Harness;

pub enum Frame {
    Request(Box<RequestHead>),
    Response(Box<ResponseHead>),
    Data(Vec<u8>),
    Trailers(Fields),
    End,
}

/// One end of a connection: frames of all streams go into one channel and are sorted at the other end.
#[derive(Clone)]
pub struct Mux {
    out: UnboundedSender<(u32, Frame)>,
    streams: Arc<Mutex<HashMap<u32, UnboundedSender<Frame>>>>,
}

impl Mux {
    /// A connection; the second end's new streams come out of the receiver.
    pub fn pair() -> (Self, UnboundedReceiver<Stream>) {
        let ((to_b, at_b), (to_a, at_a)) = (unbounded_channel(), unbounded_channel());
        let a = Self { out: to_b, streams: Arc::default() };
        let b = Self { out: to_a, streams: Arc::default() };
        let (accept, accepted) = unbounded_channel();
        tokio::spawn(a.clone().sort(at_a, None));
        tokio::spawn(b.sort(at_b, Some(accept)));
        (a, accepted)
    }

    pub fn open(&self, id: u32) -> Stream {
        let (sender, frames) = unbounded_channel();
        self.streams.lock().unwrap().insert(id, sender);
        Stream { id, out: self.out.clone(), frames, held: Held::Nothing, tunnel: false }
    }

    async fn sort(
        self,
        mut frames: UnboundedReceiver<(u32, Frame)>,
        accept: Option<UnboundedSender<Stream>>,
    ) {
        while let Some((id, frame)) = frames.recv().await {
            if let (Frame::Request(_), Some(accept)) = (&frame, &accept) {
                let _ = accept.send(self.open(id));
            }
            if let Some(stream) = self.streams.lock().unwrap().get(&id) {
                let _ = stream.send(frame);
            }
        }
    }
}

enum Held {
    Nothing,
    Data(Vec<u8>),
    Trailers(Fields),
    End,
}

/// One request and its response.
pub struct Stream {
    id: u32,
    out: UnboundedSender<(u32, Frame)>,
    frames: UnboundedReceiver<Frame>,
    held: Held,
    tunnel: bool,
}

impl Stream {
    fn send(&self, frame: Frame) {
        let _ = self.out.send((self.id, frame));
    }

    pub async fn next(&mut self) -> Option<Frame> {
        self.frames.recv().await
    }
}

impl Source for Stream {
    fn poll_chunk(&mut self, cx: &mut Context<'_>) -> Poll<Result<Chunk<'_>, StreamError>> {
        if matches!(&self.held, Held::Nothing) {
            self.held = match ready!(self.frames.poll_recv(cx)) {
                Some(Frame::Data(data)) => Held::Data(data),
                Some(Frame::Trailers(trailers)) => Held::Trailers(trailers),
                Some(Frame::End) => Held::End,
                Some(_) => return Poll::Ready(Err(StreamError::Malformed("HeadInBody"))),
                None => return Poll::Ready(Err(StreamError::Closed)),
            };
        }
        Poll::Ready(Ok(match &self.held {
            Held::Data(data) => Chunk::Data(data),
            Held::Trailers(trailers) => Chunk::Trailers(trailers),
            Held::Nothing | Held::End => Chunk::End,
        }))
    }

    fn consume(&mut self, count: usize) {
        if let Held::Data(data) = &mut self.held {
            data.drain(..count);
            if data.is_empty() {
                self.held = Held::Nothing;
            }
        }
    }
}

impl Sink for Stream {
    fn poll_data(&mut self, _: &mut Context<'_>, data: &[u8]) -> Poll<Result<usize, StreamError>> {
        // Small frames, so that the pump must come again.
        let data = &data[..data.len().min(7)];
        self.send(Frame::Data(data.to_vec()));
        Poll::Ready(Ok(data.len()))
    }

    fn finish(&mut self, trailers: Option<&Fields>) {
        self.send(trailers.map_or(Frame::End, |trailers| Frame::Trailers(trailers.clone())));
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        Poll::Ready(Ok(()))
    }
}

impl Downstream for Stream {
    fn send_informational(&mut self, head: &ResponseHead) {
        self.send(Frame::Response(Box::new(head.clone())));
    }
    fn send_head(&mut self, head: &ResponseHead, _: bool) {
        self.send(Frame::Response(Box::new(head.clone())));
    }
    fn start_tunnel(&mut self) {
        self.tunnel = true;
    }
    fn rewind(&mut self) -> bool {
        matches!(self.held, Held::Nothing | Held::End)
    }
    fn poll_gone(&mut self, _: &mut Context<'_>) -> Poll<StreamError> {
        Poll::Pending
    }
}

impl Upstream for Stream {
    fn send_head(&mut self, head: &RequestHead) {
        self.send(Frame::Request(Box::new(head.clone())));
    }
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut ResponseHead,
    ) -> Poll<Result<(), StreamError>> {
        match ready!(self.frames.poll_recv(cx)) {
            Some(Frame::Response(response)) => {
                *head = *response;
                Poll::Ready(Ok(()))
            }
            Some(_) => Poll::Ready(Err(StreamError::Malformed("BodyBeforeHead"))),
            None => Poll::Ready(Err(StreamError::Closed)),
        }
    }
    fn has_received(&self) -> bool {
        false
    }
    fn start_tunnel(&mut self) {
        self.tunnel = true;
    }
    fn is_reusable(&self) -> bool {
        false
    }
}

/// Backends that all live behind one shared connection and echo heads and bodies.
pub struct MuxBackends {
    connection: Mux,
    names: Vec<String>,
    next: std::sync::atomic::AtomicU32,
}

impl MuxBackends {
    pub fn new(names: &[&str]) -> Self {
        let (connection, mut accepted) = Mux::pair();
        tokio::spawn(async move {
            while let Some(stream) = accepted.recv().await {
                tokio::spawn(echo(stream));
            }
        });
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Self { connection, names, next: 0.into() }
    }
}

fn line(field: &gatefleet_http::Field<'_>) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    format!("{}: {}\r\n", text(field.name), text(field.value))
}

async fn echo(mut stream: Stream) {
    let Some(Frame::Request(head)) = stream.next().await else { return };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (method, target) = (text(head.method()), text(head.target()));
    let mut shown = format!("{method} {target} HTTP/1.1\r\nhost: {}\r\n", text(head.authority()));
    for field in head.fields.iter() {
        shown.push_str(&line(&field));
    }
    shown += "\r\n";
    let mut response = ResponseHead::default();
    (response.status, response.body) = (200, Body::Stream);
    response.bodiless = method == "HEAD";
    stream.send(Frame::Response(Box::new(response)));
    if method == "HEAD" {
        return stream.send(Frame::End);
    }
    stream.send(Frame::Data(shown.into_bytes()));
    while let Some(frame) = stream.next().await {
        let ends = matches!(frame, Frame::End | Frame::Trailers(_));
        stream.send(frame);
        if ends {
            return;
        }
    }
}

impl Upstreams for MuxBackends {
    type Backend = String;
    type Connection = Stream;

    fn has_endpoints(&self, backend: &String) -> bool {
        self.names.contains(backend)
    }

    async fn checkout(
        &self,
        backend: &String,
        _: &Checkout,
    ) -> Result<Lease<Stream>, ConnectError> {
        if !self.names.contains(backend) {
            return Err(ConnectError::NoEndpoints);
        }
        let id = self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let endpoint = SocketAddr::from(([10, 0, 0, 1], 1));
        Ok(Lease { connection: self.connection.open(id), endpoint, reused: true })
    }

    fn checkin(&self, _: &String, _: Lease<Stream>, _: &Report) {}
}

/// What a client of the multiplexed connection got.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    pub trailers: String,
}

/// Sends a request on a stream of its own.
pub async fn ask(client: &Mux, id: u32, request: RequestHead, body: &[u8]) -> Answer {
    let mut stream = client.open(id);
    stream.send(Frame::Request(Box::new(request)));
    for piece in body.chunks(3) {
        stream.send(Frame::Data(piece.to_vec()));
    }
    stream.send(Frame::End);
    collect(&mut stream).await
}

async fn collect(stream: &mut Stream) -> Answer {
    let mut answer = Answer::default();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let show =
        |fields: &Fields| fields.iter().map(|field| line(&field)).collect::<Vec<_>>().concat();
    while let Some(frame) = stream.next().await {
        match frame {
            Frame::Response(head) => {
                answer.status = head.status;
                answer.head = show(&head.fields);
            }
            Frame::Data(data) => answer.body += &text(&data),
            Frame::Trailers(trailers) => {
                answer.trailers = show(&trailers);
                break;
            }
            Frame::End => break,
            Frame::Request(_) => panic!("a request from the server"),
        }
    }
    answer
}

/// The proxy's end: every stream of the connection is an exchange of its own.
pub fn serve(harness: &Harness, backends: Arc<MuxBackends>) -> Mux {
    let (client, mut accepted) = Mux::pair();
    let (engine, log) = (Arc::clone(&harness.engine), Arc::clone(&harness.log));
    let info = harness.info.clone();
    tokio::spawn(async move {
        while let Some(mut stream) = accepted.recv().await {
            let (engine, log) = (Arc::clone(&engine), Arc::clone(&log));
            let (info, backends) = (info.clone(), Arc::clone(&backends));
            tokio::spawn(async move {
                let Some(Frame::Request(mut head)) = stream.next().await else { return };
                serve_request(&mut stream, &mut head, &info, &engine, &*backends, &*log).await;
            });
        }
    });
    client
}
