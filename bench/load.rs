//! A load generator for HTTP/1.1 in the standard library alone: `rustc -O load.rs`. Every connection is a thread that sends a
//! request, waits for the whole reply and sends the next (a closed loop). Prints one JSON object.
//!
//! `load HOST:PORT PATH --body FILE --content-type TYPE [--method POST] [--connections N] [--seconds S] [--warm S]`

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Seen {
    micros: Vec<u32>,
    statuses: BTreeMap<u16, u64>,
    broken: u64,
}

/// Sends the request and reads the reply to its end; the status.
fn ask(stream: &mut BufReader<TcpStream>, request: &[u8], line: &mut String, body: &mut Vec<u8>) -> std::io::Result<u16> {
    let bad = |what: &str| std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned());
    stream.get_mut().write_all(request)?;
    line.clear();
    if stream.read_line(line)? == 0 {
        return Err(bad("closed"));
    }
    let status: u16 = line.split(' ').nth(1).and_then(|s| s.parse().ok()).ok_or_else(|| bad("no status"))?;
    let (mut length, mut chunked) = (None, false);
    loop {
        line.clear();
        stream.read_line(line)?;
        let header = line.trim_end();
        let Some((name, value)) = header.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse::<usize>().ok();
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding") && value.contains("chunked");
    }
    if chunked {
        loop {
            line.clear();
            stream.read_line(line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| bad("no chunk size"))?;
            body.resize(size + 2, 0);
            stream.read_exact(body)?;
            if size == 0 {
                return Ok(status);
            }
        }
    }
    body.resize(length.ok_or_else(|| bad("no length"))?, 0);
    stream.read_exact(body)?;
    Ok(status)
}

fn work(address: String, request: Arc<Vec<u8>>, counting: Arc<AtomicBool>, stop: Arc<AtomicBool>) -> Seen {
    let mut seen = Seen::default();
    let (mut line, mut body) = (String::new(), Vec::new());
    let mut stream: Option<BufReader<TcpStream>> = None;
    while !stop.load(Ordering::Relaxed) {
        let Some(open) = stream.as_mut() else {
            match TcpStream::connect(&address).and_then(|s| s.set_nodelay(true).map(|()| s)) {
                Ok(s) => stream = Some(BufReader::new(s)),
                Err(_) => {
                    seen.broken += 1;
                    thread::sleep(Duration::from_millis(10));
                }
            }
            continue;
        };
        let begun = Instant::now();
        let counted = counting.load(Ordering::Relaxed);
        match ask(open, &request, &mut line, &mut body) {
            Ok(status) if counted => {
                seen.micros.push(begun.elapsed().as_micros().min(u128::from(u32::MAX)) as u32);
                *seen.statuses.entry(status).or_default() += 1;
            }
            Ok(_) => {}
            Err(_) => {
                seen.broken += u64::from(counted);
                stream = None;
            }
        }
    }
    seen
}

fn main() {
    let mut given: BTreeMap<String, String> = BTreeMap::new();
    let mut places = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--") {
            Some(name) => drop(given.insert(name.to_owned(), args.next().unwrap_or_default())),
            None => places.push(arg),
        }
    }
    let [address, path] = places.as_slice() else {
        eprintln!("usage: load HOST:PORT PATH [--body FILE] [--content-type TYPE] [--method POST] [--connections 16] [--seconds 10]");
        std::process::exit(2);
    };
    let number = |name: &str, default: f64| given.get(name).and_then(|v| v.parse().ok()).unwrap_or(default);
    let body = given.get("body").map(|f| std::fs::read(f).expect("the body cannot be read")).unwrap_or_default();
    let method = given.get("method").map_or(if body.is_empty() { "GET" } else { "POST" }, String::as_str);
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {address}\r\n");
    if !body.is_empty() {
        let content_type = given.get("content-type").map_or("text/csv", String::as_str);
        request += &format!("content-type: {content_type}\r\ncontent-length: {}\r\n", body.len());
    }
    request += "\r\n";
    let mut bytes = request.into_bytes();
    bytes.extend(&body);
    let request = Arc::new(bytes);
    let (counting, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let connections = number("connections", 16.0) as usize;
    let threads: Vec<_> = (0..connections)
        .map(|_| {
            let (address, request, counting, stop) = (address.clone(), request.clone(), counting.clone(), stop.clone());
            thread::Builder::new().stack_size(128 << 10).spawn(move || work(address, request, counting, stop)).expect("no thread")
        })
        .collect();
    thread::sleep(Duration::from_secs_f64(number("warm", 1.0)));
    let begun = Instant::now();
    counting.store(true, Ordering::Relaxed);
    thread::sleep(Duration::from_secs_f64(number("seconds", 10.0)));
    stop.store(true, Ordering::Relaxed);
    let seconds = begun.elapsed().as_secs_f64();
    let mut all = Seen::default();
    for thread in threads {
        let seen = thread.join().expect("a thread panicked");
        all.micros.extend(seen.micros);
        seen.statuses.into_iter().for_each(|(status, n)| *all.statuses.entry(status).or_default() += n);
        all.broken += seen.broken;
    }
    all.micros.sort_unstable();
    let at = |share: f64| {
        let last = all.micros.len().saturating_sub(1);
        all.micros.get(((last as f64) * share).round() as usize).copied().unwrap_or(0)
    };
    let statuses: Vec<String> = all.statuses.iter().map(|(s, n)| format!("\"{s}\": {n}")).collect();
    println!(
        "{{\"requests\": {}, \"seconds\": {seconds:.3}, \"per_second\": {:.1}, \"p50_micros\": {}, \"p99_micros\": {}, \"p999_micros\": {}, \
         \"max_micros\": {}, \"connections\": {connections}, \"broken\": {}, \"statuses\": {{{}}}}}",
        all.micros.len(),
        all.micros.len() as f64 / seconds,
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0),
        all.broken,
        statuses.join(", ")
    );
}
