//! The server's side: which parts went where, and what is heard of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use datafusion_distributed::SetPlanRequest;
use http::{HeaderMap, HeaderName};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use url::Url;
use uuid::Uuid;

use super::{CountDoor, Counted, PART_HEADER, part_header};
use crate::cluster::Cluster;
use crate::cluster::plain::call;

/// Statements remembered, at a few hundred bytes a stage each.
const REMEMBERED_MAX: usize = 200;
/// Between two questions, and how long an answer may take.
const INTERVAL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(2);

/// The last statements that were shared, by their numbers in the query log.
#[derive(Default)]
pub(in crate::cluster) struct Statements {
    all: Mutex<VecDeque<Arc<Progress>>>,
}

/// How far one statement is.
pub(in crate::cluster) struct Progress {
    /// Among the shared ones: a statement that begins anew gets another.
    id: Uuid,
    /// In the query log.
    statement: Option<Uuid>,
    parts: Mutex<BTreeMap<(usize, usize), Part>>,
    ended: Notify,
}

struct Part {
    node: Url,
    counted: Counted,
}

/// Its end is the statement's end, at which the workers are asked once more.
pub(in crate::cluster) struct Asked(Arc<Progress>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.ended.notify_one();
    }
}

impl Statements {
    /// Opens an entry for a statement.
    pub(in crate::cluster) fn begin(&self, statement: Option<Uuid>) -> Arc<Progress> {
        let progress = Arc::new(Progress {
            id: Uuid::new_v4(),
            statement,
            parts: Mutex::default(),
            ended: Notify::new(),
        });
        let mut all = self.all.lock();
        if all.len() >= REMEMBERED_MAX {
            all.pop_front();
        }
        all.push_back(Arc::clone(&progress));
        progress
    }

    /// The stages of a statement in words, one a line; none if it was not shared. Nodes are named if `nodes` says so.
    pub(in crate::cluster) fn told(&self, statement: Uuid, nodes: bool) -> Option<String> {
        let all = self.all.lock();
        let progress = all
            .iter()
            .rev()
            .find(|progress| progress.statement == Some(statement))?;
        progress.told(nodes)
    }
}

impl Progress {
    /// Writes a part down that goes to a node, and says in its headers which one it is.
    pub(in crate::cluster) fn sent(&self, headers: &mut HeaderMap, request: &SetPlanRequest, node: &Url) {
        let (stage, task) = (request.task_key.stage_id, request.task_key.task_number);
        if let Some(value) = part_header(self.id, &request.task_key) {
            headers.insert(HeaderName::from_static(PART_HEADER), value);
        }
        let counted = Counted {
            stage,
            task,
            rows: 0,
            bytes: 0,
            done: false,
        };
        let node = node.clone();
        self.parts.lock().insert((stage, task), Part { node, counted });
    }

    fn hear(&self, counts: Vec<Counted>) {
        let mut parts = self.parts.lock();
        for counted in counts {
            if let Some(part) = parts.get_mut(&(counted.stage, counted.task)) {
                part.counted = counted;
            }
        }
    }

    fn told(&self, nodes: bool) -> Option<String> {
        let parts = self.parts.lock();
        let stages: BTreeSet<usize> = parts.keys().map(|(stage, _)| *stage).collect();
        let line = |stage: &usize| {
            let of: Vec<&Part> = parts
                .range((*stage, 0)..(*stage + 1, 0))
                .map(|(_, part)| part)
                .collect();
            let done = of.iter().filter(|part| part.counted.done).count();
            let rows: u64 = of.iter().map(|part| part.counted.rows).sum();
            let bytes: u64 = of.iter().map(|part| part.counted.bytes).sum();
            let at: BTreeSet<&str> = of.iter().map(|part| part.node.authority()).collect();
            let at = match nodes {
                true => Vec::from_iter(at).join(", "),
                false if at.len() == 1 => "1 worker".to_owned(),
                false => format!("{} workers", at.len()),
            };
            format!(
                "stage {stage}: {done} of {} tasks done, {rows} rows, {bytes} bytes, on {at}",
                of.len()
            )
        };
        let lines: Vec<String> = stages.iter().map(line).collect();
        (!lines.is_empty()).then(|| lines.join("\n"))
    }
}

impl Cluster {
    /// Asks the nodes of a statement how far they are, until what it gives back is dropped.
    pub(in crate::cluster) fn follow_stages(cluster: Weak<Self>, progress: &Arc<Progress>) -> Asked {
        let asked = Arc::clone(progress);
        tokio::spawn(async move {
            let mut open: BTreeMap<Url, Questions> = BTreeMap::new();
            let mut is_over = false;
            while !is_over {
                is_over = tokio::time::timeout(INTERVAL, asked.ended.notified()).await.is_ok();
                let Some(cluster) = cluster.upgrade() else { return };
                let nodes: BTreeSet<Url> = asked.parts.lock().values().map(|part| part.node.clone()).collect();
                for node in nodes {
                    match tokio::time::timeout(PATIENCE, cluster.counts_of(&node, asked.id, &mut open)).await {
                        Ok(Ok(counts)) => asked.hear(counts),
                        // Whether the node is lost is found out by those who wait for its rows.
                        _ => drop(open.remove(&node)),
                    }
                }
            }
        });
        Asked(Arc::clone(progress))
    }

    async fn counts_of(
        &self,
        node: &Url,
        id: Uuid,
        open: &mut BTreeMap<Url, Questions>,
    ) -> Result<Vec<Counted>, Status> {
        let questions = match open.remove(node) {
            Some(questions) => questions,
            None => {
                let (ask, questions) = mpsc::channel(1);
                let questions = ReceiverStream::new(questions);
                let answers = call::<CountDoor>(self.channels(), node, self.version(), questions).await?;
                Questions { ask, answers }
            }
        };
        let questions = open.entry(node.clone()).or_insert(questions);
        let gone = |_| Status::unavailable("it is gone");
        questions.ask.send(Bytes::from(id.to_string())).await.map_err(gone)?;
        let answer = questions.answers.message().await?;
        let answer = answer.ok_or_else(|| Status::unavailable("it is gone"))?;
        serde_json::from_slice(&answer).map_err(|error| Status::internal(error.to_string()))
    }
}

/// The questions to one node.
struct Questions {
    ask: mpsc::Sender<Bytes>,
    answers: tonic::Streaming<Bytes>,
}
