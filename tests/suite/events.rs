//! Word of new objects in a bucket: from a queue (moto, which speaks SQS), and by a call. No sweep comes by the clock here.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::bucket::Bucket;
use crate::lab::{self, PATIENCE};
use crate::page_client::{basic, call};
use crate::python;
use crate::s3;

/// moto's server; killed when dropped.
struct Moto {
    child: Child,
    address: String,
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Moto {
    fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let child = Command::new(python::interpreter().with_file_name("moto_server"))
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let moto = Self {
            child,
            address: address.to_string(),
        };
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect(&moto.address).is_err() {
            assert!(Instant::now() < deadline, "moto does not listen on {}", moto.address);
            std::thread::sleep(Duration::from_millis(50));
        }
        moto
    }

    /// Lines of Python with AWS's library, for its buckets and queues.
    fn boto(&self, lines: &str) {
        let program = format!(
            "import boto3\n\
             at = dict(endpoint_url='http://{}', region_name='us-east-1', aws_access_key_id='lab', aws_secret_access_key='lab')\n\
             s3, sqs = boto3.client('s3', **at), boto3.client('sqs', **at)\n{lines}\n",
            self.address
        );
        let output = Command::new(python::interpreter())
            .args(["-c", &program])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    /// Waits until every message was taken and deleted.
    fn until_empty(&self, queue: &str) {
        let names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"];
        let deadline = Instant::now() + PATIENCE;
        loop {
            let wanted = serde_json::json!({"QueueUrl": queue, "AttributeNames": names});
            let answer = self.ask("GetQueueAttributes", &wanted);
            if names.iter().all(|name| answer["Attributes"][name] == "0") {
                break;
            }
            assert!(Instant::now() < deadline, "a message stays in the queue: {answer}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// One call of the queue's protocol.
    fn ask(&self, action: &str, body: &serde_json::Value) -> serde_json::Value {
        let body = body.to_string();
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "POST / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Amz-Target: AmazonSQS.{action}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=lab/20260101/us-east-1/sqs/aws4_request, SignedHeaders=host, Signature=0\r\n\
             Content-Type: application/x-amz-json-1.0\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        serde_json::from_str(if body.is_empty() { "{}" } else { body }).unwrap()
    }
}

#[tokio::test]
async fn a_bucket_tells_of_new_objects() {
    let store = s3::seaweed();
    let bucket = Bucket::at(&store.endpoint, "events");
    bucket.make();
    let moto = Moto::start();
    let made = moto.ask("CreateQueue", &serde_json::json!({"QueueName": "lab"}));
    let queue = made["QueueUrl"].as_str().unwrap().to_owned();
    bucket.put("landing/chemistry/runs/a.csv", "run,yield_pct\n1,10\n");
    let lab = lab::on_bucket(bucket.clone(), |config| {
        let settings = format!("settle_ms = 51\nsweep_interval_s = 86400\nqueue = \"{queue}\"");
        config.replace("settle_ms = 50", &settings)
    });
    let until = async |rows: i64| {
        let wanted = format!("| {rows} ");
        lab.until("ada", "SELECT count(*) FROM lab.chemistry.runs", |answer| {
            answer.as_ref().is_ok_and(|text| text.contains(&wanted))
        })
        .await;
    };
    until(1).await;

    // Not even the form of an event matters; what counts is that one came.
    bucket.put("landing/chemistry/runs/b.csv", "run,yield_pct\n2,20\n");
    moto.ask(
        "SendMessage",
        &serde_json::json!({"QueueUrl": queue, "MessageBody": "{\"Event\": \"s3:ObjectCreated:Put\"}"}),
    );
    until(2).await;
    moto.until_empty(&queue);

    // A bucket that tells the queue of new objects, set up and filled by AWS's own library. It says so in a first message.
    moto.boto(
        "arn = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName='lab')['QueueUrl'],\n\
         \x20   AttributeNames=['QueueArn'])['Attributes']['QueueArn']\n\
         s3.create_bucket(Bucket='events')\n\
         s3.put_bucket_notification_configuration(Bucket='events', NotificationConfiguration={\n\
         \x20   'QueueConfigurations': [{'QueueArn': arn, 'Events': ['s3:ObjectCreated:*']}]})",
    );
    moto.until_empty(&queue);
    bucket.put("landing/chemistry/runs/e.csv", "run,yield_pct\n5,50\n");
    moto.boto("s3.put_object(Bucket='events', Key='landing/chemistry/runs/e.csv', Body=b'run')");
    until(3).await;
    moto.until_empty(&queue);

    // A store that calls by itself; whoever has no login is not heard.
    bucket.put("landing/chemistry/runs/c.csv", "run,yield_pct\n3,30\n");
    assert_eq!(call(&lab, "POST", "/api/landed", &[], b"{}").status, 401);
    let (name, value) = basic("sam");
    assert_eq!(call(&lab, "POST", "/api/landed", &[(name, &value)], b"{}").status, 202);
    until(4).await;

    // The queue goes away: the server stays, and says so once.
    drop(moto);
    bucket.put("landing/chemistry/runs/d.csv", "run,yield_pct\n4,40\n");
    assert_eq!(call(&lab, "POST", "/api/landed", &[(name, &value)], b"").status, 202);
    until(5).await;
}

#[tokio::test]
async fn a_key_that_no_path_can_have_stops_its_folder_alone() {
    let moto = Moto::start();
    moto.boto(
        "s3.create_bucket(Bucket='lake')\n\
         s3.put_object(Bucket='lake', Key='odd/landing/chemistry/runs//a.csv', Body=b'run,yield_pct\\n1,10\\n')\n\
         s3.put_object(Bucket='lake', Key='odd/landing/chemistry/runs/b.csv', Body=b'run,yield_pct\\n2,20\\n')\n\
         s3.put_object(Bucket='lake', Key='odd/landing/chemistry/others/c.csv', Body=b'run,yield_pct\\n3,30\\n')",
    );
    let bucket = Bucket::at(&format!("http://{}", moto.address), "odd");
    let lab = lab::on_bucket(bucket, |config| config);
    lab.until("ada", "SELECT run FROM lab.chemistry.others", lab::shows(3))
        .await;
    let why = lab
        .text(
            "ada",
            "SELECT status, reason FROM system.files WHERE path = 'chemistry/runs'",
        )
        .await;
    assert!(why.contains("runs//a.csv") || why.contains("runs//"), "{why}");
    // It has another name now: its folder is in sight again.
    moto.boto(
        "s3.delete_object(Bucket='lake', Key='odd/landing/chemistry/runs//a.csv')\n\
         s3.put_object(Bucket='lake', Key='odd/landing/chemistry/runs/a.csv', Body=b'run,yield_pct\\n1,10\\n')",
    );
    lab.until("ada", "SELECT sum(run) FROM lab.chemistry.runs", lab::shows(3))
        .await;
}

#[tokio::test]
async fn a_key_below_the_landing_folder_that_no_path_can_have_stops_nothing_else() {
    let moto = Moto::start();
    moto.boto(
        "s3.create_bucket(Bucket='lake')\n\
         s3.put_object(Bucket='lake', Key='root/landing//a.csv', Body=b'run,yield_pct\\n1,10\\n')\n\
         s3.put_object(Bucket='lake', Key='root/landing/../a.csv', Body=b'run,yield_pct\\n1,10\\n')\n\
         s3.put_object(Bucket='lake', Key='root/landing/(old)/runs/a.csv', Body=b'run,yield_pct\\n1,10\\n')\n\
         s3.put_object(Bucket='lake', Key='root/landing/chemistry/runs/b.csv', Body=b'run,yield_pct\\n2,20\\n')\n\
         s3.put_object(Bucket='lake', Key='root/landing/chemistry/deep//x.csv', Body=b'run,yield_pct\\n2,20\\n')\n\
         s3.put_object(Bucket='lake', Key='root/landing/zoology/others/c.csv', Body=b'run,yield_pct\\n3,30\\n')",
    );
    let bucket = Bucket::at(&format!("http://{}", moto.address), "root");
    let lab = lab::on_bucket(bucket, |config| config);
    for (table, run) in [("zoology.others", 3), ("chemistry.runs", 2), ("old.runs", 1)] {
        lab.until("ada", &format!("SELECT run FROM lab.{table}"), lab::shows(run))
            .await;
    }
    let why = "SELECT status, reason FROM system.files WHERE reason LIKE '%give that object another name%'";
    let why = lab.text("ada", why).await;
    let keys = ["landing//", "landing/..", "chemistry/deep//"];
    assert!(
        keys.iter().all(|key| why.contains(key)) && why.contains("ignored"),
        "{why}"
    );
}

#[test]
fn a_queue_that_cannot_be_one_is_refused() {
    let own = tempfile::tempdir().unwrap();
    lab::lay_out_empty(own.path());
    let config = own.path().join("labhouse.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(
        &config,
        text.replace("settle_ms = 50", "settle_ms = 50\nqueue = \"http://127.0.0.1:1/q\""),
    )
    .unwrap();
    let output = Command::new(lab::BINARY)
        .args(["serve", "--config"])
        .arg(&config)
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && error.contains("plain http"), "{error}");
}
