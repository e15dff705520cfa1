//! Serves the subscriptions of bench/peers with async-graphql and axum: a channel per subscriber, by room or by range.

use async_graphql::{EmptyMutation, Object, Schema, SimpleObject, Subscription};
use async_graphql_axum::GraphQLSubscription;
use axum::serve::ListenerExt;
use axum::Router;
use serde::Deserialize;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{channel, Sender};
use tokio_stream::{wrappers::ReceiverStream, Stream};

/// How many events may wait for a subscriber. Publishing waits for whoever is behind.
const QUEUED: usize = 1000;

/// The version that Cargo.toml pins.
const VERSION: &str = "7.2.1";

#[derive(Clone, Deserialize, SimpleObject)]
struct Tick {
    room: i32,
    seq: i32,
    sent: i32,
    sum: i32,
    pad: String,
}

#[derive(Deserialize)]
struct Line {
    data: Tick,
}

#[derive(Default)]
struct Listeners {
    rooms: HashMap<i32, Vec<Sender<Tick>>>,
    ranges: Vec<(i32, i32, Sender<Tick>)>,
}

type Shared = Arc<Mutex<Listeners>>;

struct Query;

#[Object]
impl Query {
    async fn ok(&self) -> bool {
        true
    }
}

struct Subscriptions(Shared);

#[Subscription]
impl Subscriptions {
    async fn tick(&self, room: Option<i32>, from: Option<i32>, to: Option<i32>) -> impl Stream<Item = Tick> {
        let (sender, receiver) = channel(QUEUED);
        let mut all = self.0.lock().unwrap();
        match (room, from, to) {
            (Some(room), _, _) => all.rooms.entry(room).or_default().push(sender),
            (_, from, to) => all.ranges.push((from.unwrap_or(i32::MIN), to.unwrap_or(i32::MAX), sender)),
        }
        ReceiverStream::new(receiver)
    }
}

async fn publish(shared: &Shared, event: Tick) {
    let to: Vec<Sender<Tick>> = {
        let mut all = shared.lock().unwrap();
        let mut to = Vec::new();
        if let Some(list) = all.rooms.get_mut(&event.room) {
            list.retain(|sender| !sender.is_closed());
            to.extend(list.iter().cloned());
        }
        all.ranges.retain(|(_, _, sender)| !sender.is_closed());
        to.extend(all.ranges.iter().filter(|(from, last, _)| (*from..=*last).contains(&event.room)).map(|(_, _, sender)| sender.clone()));
        to
    };
    for sender in to {
        let _ = sender.send(event.clone()).await; // who has left is found by the next event
    }
}

async fn read(connection: TcpStream, shared: Shared) {
    let mut lines = BufReader::with_capacity(1 << 16, connection).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        if let Ok(line) = serde_json::from_str::<Line>(&line) {
            publish(&shared, line.data).await;
        }
    }
}

#[tokio::main]
async fn main() {
    let shared = Shared::default();
    let clients = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let events = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!(
        r#"{{"url":"http://{}/graphql","publish_url":"tcp://{}","versions":{{"async-graphql":"{}"}}}}"#,
        clients.local_addr().unwrap(),
        events.local_addr().unwrap(),
        VERSION,
    );
    let schema = Schema::new(Query, EmptyMutation, Subscriptions(shared.clone()));
    tokio::spawn(async move {
        while let Ok((connection, _)) = events.accept().await {
            tokio::spawn(read(connection, shared.clone()));
        }
    });
    let app = Router::new().route_service("/graphql", GraphQLSubscription::new(schema));
    let clients = clients.tap_io(|connection| connection.set_nodelay(true).unwrap());
    axum::serve(clients, app).await.unwrap();
}
