//! A message as text, as HTML and as JSON. Every value is somebody's data: it is escaped wherever it is put.

use std::fmt::Write;

use serde_json::{Value, json};

use super::Delivery;
use super::notice::{LABELS_SHOWN_MAX, Message};
use super::series::shown;

/// Characters of a chat message; Slack takes 40,000 and shows 4,000.
const CHAT_CHARS_MAX: usize = 3_500;

impl Message {
    /// What happened, in one sentence.
    fn headline(&self) -> String {
        match (self.kind.as_str(), self.state.as_str()) {
            ("report", _) => format!("Report {}", self.name),
            (_, "firing") if self.firing.is_empty() && self.over.is_empty() && self.no_data.is_empty() => {
                format!("{} can be judged again; it fires as before", self.name)
            }
            (_, "firing") if self.firing.is_empty() => format!("{} fires no more for some labels", self.name),
            (_, "firing") => format!("{} fires", self.name),
            (_, "ok") => format!("{} is well again", self.name),
            (_, "no_data") if self.no_data.is_empty() && !self.over.is_empty() => {
                format!(
                    "{} fires no more for some labels; for others it has no data to judge by",
                    self.name
                )
            }
            (_, "no_data") if self.no_data.iter().any(|label| !label.is_empty()) => {
                format!("{} has no data to judge by for labels that it fired for", self.name)
            }
            (_, "no_data") => format!("{} has no data to judge by", self.name),
            _ => format!("{} could not be asked; its owner sees why in system.alerts", self.name),
        }
    }

    /// Facts as pairs.
    fn facts(&self) -> Vec<(&'static str, String)> {
        let mut facts = Vec::new();
        let mut add = |name, value: Option<&String>| facts.extend(value.map(|value| (name, value.clone())));
        add("table", self.table.as_ref());
        add("rule", self.rule.as_ref());
        let at = self.at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
        add("at", Some(&at));
        facts
    }

    /// Lines about labels: those that fire and those that do no more.
    fn label_lines(&self) -> Vec<String> {
        let mut lines: Vec<String> = Vec::new();
        for line in self.firing.iter().take(LABELS_SHOWN_MAX) {
            let told = match (&line.against, line.value) {
                (Some(against), _) => against.clone(),
                (None, Some(value)) => shown(value),
                (None, None) => String::new(),
            };
            let label = if line.label.is_empty() { "all rows" } else { &line.label };
            lines.push(match told.is_empty() {
                true => label.to_owned(),
                false => format!("{label}: {told}"),
            });
        }
        if self.firing.len() > LABELS_SHOWN_MAX {
            lines.push(format!("… and {} more", self.firing.len() - LABELS_SHOWN_MAX));
        }
        let mut add = |word: &str, labels: &[String]| {
            let labels = labels.iter().filter(|label| !label.is_empty());
            lines.extend(labels.map(|label| format!("{word}: {label}")));
        };
        add("no more", &self.over);
        add("no data", &self.no_data);
        lines
    }

    /// Plain text.
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.headline());
        if let Some(message) = &self.message {
            let _ = write!(text, "\n{message}\n");
        }
        text.push('\n');
        for (name, value) in self.facts() {
            let _ = writeln!(text, "{name}: {value}");
        }
        for line in self.label_lines() {
            let _ = writeln!(text, "- {line}");
        }
        if !self.columns.is_empty() {
            let _ = write!(text, "\n{}\n", self.columns.join("\t"));
            for row in &self.rows {
                let cells: Vec<String> = row.iter().map(|cell| cell.replace(['\t', '\n', '\r'], " ")).collect();
                let _ = writeln!(text, "{}", cells.join("\t"));
            }
            text.push_str(self.after_rows());
        }
        text
    }

    /// A page of its own, without anything that is fetched from elsewhere.
    pub(super) fn html(&self) -> String {
        const CELL: &str = "padding:4px 10px;border-bottom:1px solid #ddd;text-align:left;vertical-align:top";
        let mut html = format!(
            "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}</title></head><body style=\"font-family:sans-serif;color:#222\"><h2>{0}</h2>",
            escape(&self.headline())
        );
        if let Some(message) = &self.message {
            let _ = write!(html, "<p>{}</p>", escape(message).replace('\n', "<br>"));
        }
        html.push_str("<p>");
        for (name, value) in self.facts() {
            let _ = write!(html, "{name}: <code>{}</code><br>", escape(&value));
        }
        html.push_str("</p>");
        let lines = self.label_lines();
        if !lines.is_empty() {
            let items: String = lines.iter().map(|line| format!("<li>{}</li>", escape(line))).collect();
            let _ = write!(html, "<ul>{items}</ul>");
        }
        if !self.columns.is_empty() {
            html.push_str("<table style=\"border-collapse:collapse\"><thead><tr>");
            for column in &self.columns {
                let _ = write!(html, "<th scope=\"col\" style=\"{CELL}\">{}</th>", escape(column));
            }
            html.push_str("</tr></thead><tbody>");
            for row in &self.rows {
                html.push_str("<tr>");
                for cell in row {
                    let _ = write!(html, "<td style=\"{CELL}\">{}</td>", escape(cell));
                }
                html.push_str("</tr>");
            }
            let _ = write!(html, "</tbody></table><p>{}</p>", self.after_rows());
        }
        html.push_str("</body></html>\n");
        html
    }

    fn after_rows(&self) -> &'static str {
        match (self.more, self.rows.is_empty()) {
            (true, _) => "There are more rows than are shown.\n",
            (false, true) => "No rows.\n",
            (false, false) => "",
        }
    }
}

/// What a webhook gets.
pub(super) fn webhook(delivery: &Delivery) -> Value {
    let message = &delivery.message;
    json!({
        "id": delivery.id,
        "kind": message.kind,
        "name": message.name,
        "table": message.table,
        "state": message.state,
        "at": message.at.to_rfc3339(),
        "recipient": delivery.target.recipient,
        "rule": message.rule,
        "message": message.message,
        "firing": message.firing.iter().map(|line| json!({
            "label": line.label,
            "value": line.value.filter(|value| value.is_finite()),
            "against": line.against,
        })).collect::<Vec<_>>(),
        "over": message.over,
        "no_data": message.no_data,
        "columns": message.columns,
        "rows": message.rows,
        "more": message.more,
    })
}

/// What Slack and those who speak like it get.
pub(super) fn slack(delivery: &Delivery) -> Value {
    let text = delivery.message.text();
    let mut short: String = text.chars().take(CHAT_CHARS_MAX).collect();
    if text.chars().nth(CHAT_CHARS_MAX).is_some() {
        short.push('…');
    }
    // Their own escapes: without them a value could call everybody by `<!channel>`.
    let escaped = short.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    json!({ "text": escaped })
}

/// Text as HTML, also within quotes of attributes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // Directions of writing can make a text look like another.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {}
            letter if letter.is_control() && letter != '\n' => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::definition::Target;
    use super::super::notice::Line;
    use super::*;

    const EVIL: &str = "<img src=x onerror=\"alert('x')\">";

    fn delivery() -> Delivery {
        let message = Message {
            kind: "alert".into(),
            name: "lab.s.a".into(),
            table: Some("lab.s.t".into()),
            state: "firing".into(),
            at: chrono::DateTime::UNIX_EPOCH,
            rule: Some(format!("x = '{EVIL}'")),
            message: Some(format!("{EVIL} & <!channel>")),
            firing: vec![Line {
                label: format!("plate_id={EVIL}"),
                value: Some(1.0),
                against: None,
            }],
            over: vec![format!("plate_id={EVIL}2")],
            no_data: vec![format!("plate_id={EVIL}3")],
            columns: vec![format!("\"><script>{EVIL}")],
            rows: vec![vec![EVIL.into()]],
            more: true,
        };
        Delivery {
            id: "1".into(),
            target: Target {
                recipient: "sam".into(),
                channel: "email".into(),
            },
            message,
            sight: String::new(),
            attempts: 0,
            not_before: chrono::DateTime::UNIX_EPOCH,
            claimed: false,
        }
    }

    #[test]
    fn values_are_text_wherever_they_are_put() {
        let delivery = delivery();
        let html = delivery.message.html();
        assert!(
            !html.contains("<img") && !html.contains("<script") && !html.contains("onerror=\""),
            "{html}"
        );
        assert_eq!(
            html.matches("&lt;img src=x onerror=&quot;alert(&#39;x&#39;)&quot;&gt;")
                .count(),
            7,
            "{html}"
        );
        let chat = slack(&delivery)["text"].as_str().unwrap().to_owned();
        assert!(!chat.contains('<') && chat.contains("&lt;!channel&gt;"), "{chat}");
        let json = serde_json::to_string(&webhook(&delivery)).unwrap();
        let read: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(read["rows"][0][0], EVIL);
    }

    #[test]
    fn a_fault_that_ends_while_a_label_fires_is_told_as_such() {
        let mut message = delivery().message;
        message.firing.clear();
        assert!(message.text().starts_with("lab.s.a fires no more for some labels\n"));
        message.over.clear();
        message.no_data.clear();
        assert!(
            message
                .text()
                .starts_with("lab.s.a can be judged again; it fires as before\n")
        );
    }

    #[test]
    fn labels_without_data_are_told_as_such_and_never_as_well() {
        let mut message = delivery().message;
        message.firing.clear();
        message.state = "no_data".into();
        message.no_data = vec!["plate=P1".into()];
        assert_eq!(message.subject(), "[labhouse] no_data: lab.s.a for plate=P1");
        let text = message.text();
        assert!(
            text.contains("no data to judge by") && text.contains("- no data: plate=P1\n"),
            "{text}"
        );
        assert!(!text.contains("well"), "{text}");
        message.no_data.clear();
        assert!(
            message
                .text()
                .starts_with("lab.s.a fires no more for some labels; for others")
        );
    }

    #[test]
    fn a_subject_is_one_line() {
        let mut message = delivery().message;
        for line in &mut message.firing {
            line.label = "a=b\r\nBcc: everybody@example.org".into();
        }
        assert_eq!(
            message.subject(),
            "[labhouse] firing: lab.s.a for a=bBcc: everybody@example.org"
        );
    }

    #[test]
    fn text_keeps_one_row_a_line() {
        let mut message = delivery().message;
        message.rows = vec![vec!["a\tb\nc".into(), "d".into()]];
        assert!(message.text().contains("\na b c\td\n"), "{}", message.text());
    }
}
