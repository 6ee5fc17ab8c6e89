//! A client of `hotpatch-stubgen serve`; docs/protocol.md is what it speaks.
//!
//! `stubgen-client HOST ADDRESS,ADDRESS OUTPUT OBJECT...` builds the stubs of a patch for two running processes, asks
//! for something impossible, and cancels a request. With the record of the host's link in `CAPTURED` it links the
//! patch as well, and gives up after `PATIENCE` seconds. `STUBGEN` is the command to run, if it is not
//! `hotpatch-stubgen`.

use std::collections::HashMap;
use std::env;
use std::error::Error;
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{channel, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{json, Value};

const PROTOCOL: u64 = 1;
const REQUEST_CANCELLED: i64 = -32800;

/// The server's answer was an error; `data["document"]` has what the command found.
#[derive(Debug)]
struct Failure {
    code: i64,
    message: String,
    data: Value,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.data["kind"].as_str().unwrap_or("protocol");
        write!(f, "error {}, {}: {}", self.code, kind, self.message)
    }
}

impl Error for Failure {}

type Answer = Result<Value, Failure>;
type Pending = Arc<Mutex<HashMap<u64, Sender<Answer>>>>;

/// The server, as a child process; a thread reads its answers.
struct Stubgen {
    child: Child,
    input: ChildStdin,
    pending: Pending,
    last: u64,
}

impl Stubgen {
    fn start(command: &str) -> io::Result<Self> {
        let mut words = command.split_whitespace();
        let mut child = Command::new(words.next().unwrap_or("hotpatch-stubgen"))
            .args(words)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = child.stdin.take().expect("stdin is piped");
        let output = child.stdout.take().expect("stdout is piped");
        let pending = Pending::default();
        let reader = Arc::clone(&pending);
        thread::spawn(move || {
            if let Err(error) = read_answers(BufReader::new(output), &reader) {
                eprintln!("stubgen: {error}");
            }
            reader.lock().unwrap().clear(); // whoever still waits learns that the server ended
        });
        Ok(Self { child, input, pending, last: 0 })
    }

    /// Ask, and go on: the request's id, and where its answer will be.
    fn begin(&mut self, method: &str, params: Value) -> io::Result<(u64, Receiver<Answer>)> {
        let (sender, receiver) = channel();
        self.last += 1;
        self.pending.lock().unwrap().insert(self.last, sender);
        self.write(&json!({"jsonrpc": "2.0", "id": self.last, "method": method, "params": params}))?;
        Ok((self.last, receiver))
    }

    /// Ask, and wait for the answer.
    fn call(&mut self, method: &str, params: Value) -> Result<Value, Box<dyn Error>> {
        let (_, answer) = self.begin(method, params)?;
        Ok(answer.recv()??)
    }

    /// Say that nobody wants the answer any more; it comes all the same, as an error or just too late.
    fn cancel(&mut self, id: u64) -> io::Result<()> {
        self.write(&json!({"jsonrpc": "2.0", "method": "$/cancelRequest", "params": {"id": id}}))
    }

    /// Let the server finish what it does, and end.
    fn close(mut self) -> Result<(), Box<dyn Error>> {
        self.call("shutdown", Value::Null)?;
        self.write(&json!({"jsonrpc": "2.0", "method": "exit"}))?;
        self.child.wait()?;
        Ok(())
    }

    fn write(&mut self, message: &Value) -> io::Result<()> {
        let content = message.to_string();
        write!(self.input, "Content-Length: {}\r\n\r\n{}", content.len(), content)?;
        self.input.flush()
    }
}

fn read_answers(mut output: BufReader<ChildStdout>, pending: &Pending) -> Result<(), Box<dyn Error>> {
    let mut line = String::new();
    while output.read_line(&mut line)? > 0 {
        // Content-Length is the one header that the server writes.
        let length = line.trim_end().strip_prefix("Content-Length: ").ok_or("not a frame")?.parse()?;
        line.clear();
        output.read_line(&mut line)?;
        line.clear();
        let mut content = vec![0; length];
        output.read_exact(&mut content)?;
        let mut message: Value = serde_json::from_slice(&content)?;
        let answer = match message.get_mut("error") {
            None => Ok(message["result"].take()),
            Some(error) => Err(Failure {
                code: error["code"].as_i64().unwrap_or_default(),
                message: error["message"].as_str().unwrap_or_default().to_owned(),
                data: error["data"].take(),
            }),
        };
        let waiting = message["id"].as_u64().and_then(|id| pending.lock().unwrap().remove(&id));
        match (waiting, answer) {
            (Some(sender), answer) => drop(sender.send(answer)), // nobody waits for it any more: so be it
            (None, Err(failure)) => eprintln!("stubgen: {failure}"), // id null: what we sent was no request
            (None, Ok(_)) => {}
        }
    }
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [host, addresses, output, objects @ ..] = arguments.as_slice() else {
        return Err("usage: stubgen-client HOST ADDRESS,ADDRESS OUTPUT OBJECT...".into());
    };
    let command = env::var("STUBGEN").unwrap_or_else(|_| "hotpatch-stubgen".to_owned());
    let mut server = Stubgen::start(&command).map_err(|error| format!("{command}: cannot be run: {error}"))?;
    let told = server.call("initialize", json!({ "protocol": PROTOCOL }))?;
    let methods: Vec<&String> = told["methods"].as_object().into_iter().flat_map(|methods| methods.keys()).collect();
    println!("{} {}: {:?}", told["name"].as_str().unwrap_or_default(), told["version"], methods);

    // The second process costs next to nothing: the host is open, the objects are parsed, the symbols are judged.
    let mut reference = "";
    for (number, address) in addresses.split(',').enumerate() {
        reference = address; // hexadecimal or decimal text: the server reads both
        let stub = format!("{output}.{number}.stub.o");
        let start = Instant::now();
        let built = server.call(
            "build",
            json!({"host": host, "aslr_reference": address, "objects": objects, "output": stub, "allow_missing": true}),
        )?;
        println!(
            "slide {:#x}: {} stubs in {stub}, {:.1?}",
            built["slide"].as_u64().unwrap_or_default(),
            built["stubs"],
            start.elapsed()
        );
    }

    if let Err(error) = server.call("verify", json!({ "file": host })) {
        println!("{error}");
    }

    let captured = env::var("CAPTURED").ok();
    let (method, patience) = match captured {
        None => ("build", 0.0),
        Some(_) => ("link", env::var("PATIENCE").map_or(Ok(60.0), |seconds| seconds.parse())?),
    };
    let mut params = json!({"host": host, "aslr_reference": reference, "objects": objects, "output": output});
    if let Some(captured) = captured {
        params["captured"] = captured.into();
    }
    let (id, answer) = server.begin(method, params)?;
    let answer = match answer.recv_timeout(Duration::from_secs_f64(patience)) {
        Err(RecvTimeoutError::Timeout) => {
            server.cancel(id)?;
            answer.recv()?
        }
        other => other?,
    };
    match answer {
        Ok(document) => println!("done: {}", document["output"].as_str().unwrap_or_default()),
        Err(failure) if failure.code == REQUEST_CANCELLED => println!("cancelled"),
        Err(failure) => println!("{failure}"),
    }
    server.close()
}
