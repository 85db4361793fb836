//! The limits of a node.

use super::*;
use axum::body::Body as HttpBody;
use futures::stream;

fn node(limits: Limits) -> Node {
    Node::new(Arc::new(Live::default()), limits, None)
}

fn pieces(all: Vec<&'static [u8]>) -> HttpBody {
    HttpBody::from_stream(stream::iter(all.into_iter().map(|p| Ok::<_, std::io::Error>(Bytes::from_static(p)))))
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_are_read_whole_and_given_back() {
    let node = node(Limits { body: 6, bodies: 8, ..Limits::default() });
    let body = node.read(None, pieces(vec![b"ab", b"", b"cd", b"ef"])).await.unwrap();
    assert_eq!(&body.bytes[..], b"abcdef");
    let refused = node.read(Some(3), pieces(vec![b"xyz"])).await.err().unwrap();
    assert_eq!(refused.kind, ErrorKind::QueueFull);
    drop(body);
    assert_eq!(&node.read(Some(3), pieces(vec![b"xyz"])).await.unwrap().bytes[..], b"xyz");
    assert_eq!(node.held.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_and_late_bodies_are_refused() {
    let node = node(Limits { body: 3, body_time: Duration::from_millis(20), ..Limits::default() });
    let refused = node.read(None, pieces(vec![b"ab", b"cd"])).await.err().unwrap();
    assert_eq!(refused.message, "the body has more than 3 bytes; at most 3 are taken");
    let refused = node.read(Some(1 << 40), pieces(vec![b"ab"])).await.err().unwrap();
    assert_eq!((refused.kind, refused.status()), (ErrorKind::TooLarge, 413));
    let never = HttpBody::from_stream(stream::pending::<Result<Bytes, std::io::Error>>());
    let refused = node.read(None, never).await.err().unwrap();
    assert_eq!((refused.kind, refused.status()), (ErrorKind::Incomplete, 408));
    let broken = HttpBody::from_stream(stream::iter([Err::<Bytes, _>(std::io::Error::other("gone"))]));
    assert!(node.read(None, broken).await.err().unwrap().message.contains("ended before it was whole"));
    assert_eq!(node.held.load(Ordering::Relaxed), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_loses_nothing() {
    let node = Arc::new(node(Limits { queue: 2, ..Limits::default() }));
    let all = node.turns.available_permits() as u32;
    let held = node.turns.acquire_many(all).await.unwrap();
    let mut waiting = Vec::new();
    for n in 0..2 {
        let node = node.clone();
        waiting.push(tokio::spawn(async move { node.in_turn(LIGHT + 1, || Ok(n)).await }));
    }
    while node.queued.load(Ordering::Relaxed) < 2 {
        tokio::task::yield_now().await;
    }
    let refused = node.in_turn(1, || Ok(9)).await.unwrap_err();
    assert_eq!((refused.kind, refused.status()), (ErrorKind::QueueFull, 429));
    drop(held);
    for (n, task) in waiting.into_iter().enumerate() {
        assert_eq!(task.await.unwrap().unwrap(), n);
    }
    assert_eq!(node.in_turn(1, || Ok(9)).await.unwrap(), 9);
}
