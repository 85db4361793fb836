//! Every job from the command line, embedded and on a cluster, against answers worked out here.

use std::collections::{BTreeSet, HashMap};

use serde_json::json;
use shardmill_tests::{Cluster, Shardmill, pseudo_rows, shared_data};

const HEADER: &str = "id,name,amount\n";

fn csv(lines: &[String]) -> String {
    lines.iter().fold(HEADER.to_owned(), |text, line| text + line + "\n")
}

/// First occurrences, in order.
fn deduplicated(lines: &[String]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    lines.iter().filter(|l| seen.insert((*l).clone())).cloned().collect()
}

/// Two files of generated rows, ingested in small shards.
fn ingest(sm: &Shardmill, name: &str, seed: u64, rows: usize) -> Vec<String> {
    let lines = pseudo_rows(seed, rows);
    let (a, b) = lines.split_at(rows / 3);
    sm.write(&format!("{name}-1.csv"), csv(a));
    sm.write(&format!("{name}-2.csv"), csv(b));
    let done = sm.ok(&["ingest", name, &format!("{name}-1.csv"), &format!("{name}-2.csv"), "--shard-size", "20KiB"]);
    assert_eq!(done["state"], "done");
    assert_eq!(done["rows"], rows);
    assert_eq!(done["counters"]["rows"], rows);
    assert_eq!(done["counters"]["files"], 2);
    assert_eq!(done["counters"]["rejected"], 0);
    lines
}

fn the_loop(sm: &Shardmill) {
    let left = ingest(sm, "left", 1, 5_000);
    assert_eq!(sm.csv("left"), csv(&left), "what went in did not come out");

    let done = sm.ok(&["dedup", "left", "unique"]);
    let unique = deduplicated(&left);
    assert_eq!(done["counters"]["rows_in"], left.len());
    assert_eq!(done["counters"]["rows_out"], unique.len());
    assert_eq!(done["counters"]["duplicates"], left.len() - unique.len());
    assert_eq!(done["dataset"], "unique@1");
    assert_eq!(sm.csv("unique"), csv(&unique));

    // Deduplicating what has no duplicates changes nothing, and what was dropped once stays dropped.
    let again = sm.ok(&["dedup", "unique", "unique"]);
    assert_eq!(again["dataset"], "unique@2");
    assert_eq!(again["counters"]["duplicates"], 0);
    assert_eq!(sm.csv("unique"), csv(&unique));

    // Keys over rows that a deletion vector already thinned out, so that positions shift.
    let done = sm.ok(&["dedup", "unique", "names", "--keys", "name", "--keep", "last"]);
    let name = |l: &String| l.split(',').nth(1).unwrap().to_owned();
    let last: HashMap<String, usize> = unique.iter().enumerate().map(|(n, l)| (name(l), n)).collect();
    let expected: Vec<String> =
        unique.iter().enumerate().filter(|(n, l)| last[&name(l)] == *n).map(|(_, l)| l.clone()).collect();
    assert_eq!(done["rows"], expected.len());
    assert_eq!(sm.csv("names"), csv(&expected));
    sm.ok(&["dedup", "unique", "singles", "--keys", "name", "--keep", "none"]);
    let mut count: HashMap<String, usize> = HashMap::new();
    unique.iter().for_each(|l| *count.entry(name(l)).or_default() += 1);
    let expected: Vec<String> = unique.iter().filter(|l| count[&name(l)] == 1).cloned().collect();
    assert_eq!(sm.csv("singles"), csv(&expected));

    compare(sm, &left);
    clean(sm, &left);
}

fn compare(sm: &Shardmill, left: &[String]) {
    // The right side: some rows of the left, some others, some twice.
    let mut right: Vec<String> = left.iter().skip(2_000).step_by(2).cloned().collect();
    right.extend(pseudo_rows(2, 1_500));
    sm.write("right.csv", csv(&right));
    sm.ok(&["ingest", "right", "right.csv", "--shard-size", "20KiB"]);
    let right_unique = deduplicated(&right);
    let in_left: BTreeSet<&String> = left.iter().collect();
    let in_right: BTreeSet<&String> = right.iter().collect();
    let both = left.iter().filter(|l| in_right.contains(l)).count();
    let right_only: Vec<&String> = right_unique.iter().filter(|l| !in_left.contains(l)).collect();
    let tag = |l: &String| format!("{l},{}", if in_right.contains(l) { "both" } else { "left_only" });

    let done = sm.ok(&["compare", "left", "right", "merged"]);
    assert_eq!(done["counters"]["both"], both);
    assert_eq!(done["counters"]["left_only"], left.len() - both);
    assert_eq!(done["counters"]["right_only"], right_only.len());
    let mut expected: Vec<String> = left.iter().map(tag).collect();
    expected.extend(right_only.iter().map(|l| format!("{l},right_only")));
    assert_eq!(sm.csv("merged"), format!("id,name,amount,_merge\n{}\n", expected.join("\n")));

    let done = sm.ok(&["compare", "left", "right", "inner", "--how", "inner"]);
    assert_eq!(done["rows"], both);
    let expected: Vec<String> = left.iter().filter(|l| in_right.contains(l)).map(|l| format!("{l},both")).collect();
    assert_eq!(sm.csv("inner"), format!("id,name,amount,_merge\n{}\n", expected.join("\n")));

    // By key, with the other columns of both sides: every pair, in the left's order.
    let done = sm.ok(&["compare", "left", "right", "keyed", "--on", "name", "--how", "left"]);
    let mut partners: HashMap<&str, Vec<&str>> = HashMap::new();
    for line in &right_unique {
        let cells: Vec<&str> = line.split(',').collect();
        partners.entry(cells[1]).or_default().push(line);
    }
    let mut expected = Vec::new();
    for line in left {
        let l: Vec<&str> = line.split(',').collect();
        match partners.get(l[1]) {
            None => expected.push(format!("{},{},{},,,left_only", l[0], l[1], l[2])),
            Some(found) => expected.extend(found.iter().map(|r| {
                let r: Vec<&str> = r.split(',').collect();
                format!("{},{},{},{},{},both", l[0], l[1], l[2], r[0], r[2])
            })),
        }
    }
    assert_eq!(done["rows"], expected.len());
    assert_eq!(sm.csv("keyed"), format!("id_x,name,amount_x,id_y,amount_y,_merge\n{}\n", expected.join("\n")));
}

fn clean(sm: &Shardmill, left: &[String]) {
    let rules = r#"
[[rule]]
op = "case"
columns = ["name"]
to = "upper"

[[rule]]
op = "filter"
sql = "amount >= 5000"

[[rule]]
op = "standardise"
columns = ["amount"]
"#;
    sm.write("rules.toml", rules);
    let done = sm.ok(&["clean", "left", "cleaned", "--rules", "rules.toml"]);
    let amount = |l: &String| l.split(',').nth(2).unwrap().parse::<f64>().unwrap();
    let kept: Vec<&String> = left.iter().filter(|l| amount(l) >= 5000.0).collect();
    assert_eq!(done["rows"], kept.len());
    assert_eq!(done["counters"]["cells_changed"]["1 case"], left.len());
    assert_eq!(done["counters"]["rows_dropped"]["2 filter"], left.len() - kept.len());
    let mean = kept.iter().map(|l| amount(l)).sum::<f64>() / kept.len() as f64;
    let variance = kept.iter().map(|l| (amount(l) - mean).powi(2)).sum::<f64>() / kept.len() as f64;
    let text = sm.csv("cleaned");
    for (line, source) in text.lines().skip(1).zip(&kept) {
        let cells: Vec<&str> = line.split(',').collect();
        assert!(cells[1].starts_with("NAME "));
        let expected = (amount(source) - mean) / variance.sqrt();
        assert!((cells[2].parse::<f64>().unwrap() - expected).abs() < 1e-12, "{line} from {source}");
    }
    assert_eq!(text.lines().count(), kept.len() + 1);
}

#[test]
fn the_loop_embedded() {
    let dir = tempfile::tempdir().unwrap();
    the_loop(&Shardmill::embedded(dir.path()));
}

#[test]
fn the_loop_on_a_cluster_gives_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(dir.path(), 3);
    the_loop(&cluster.shardmill());
}

#[test]
fn results_do_not_depend_on_the_number_of_workers() {
    let rules = "[[rule]]\nop = \"fill\"\ncolumns = [\"x\"]\nwith = \"mean\"\n\n[[rule]]\nop = \"standardise\"\ncolumns = [\"x\"]\n";
    let mut lines = String::from("k,x\n");
    for n in 0..20_000u64 {
        let x = (n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / 7.0;
        lines.push_str(&if n % 11 == 0 { format!("{n},\n") } else { format!("{n},{x:?}\n") });
    }
    let mut results = Vec::new();
    for workers in ["1", "2", "5"] {
        let dir = tempfile::tempdir().unwrap();
        let mut sm = Shardmill::embedded(dir.path());
        sm.extra = vec!["--workers".into(), workers.into()];
        sm.write("in.csv", &lines);
        sm.write("rules.toml", rules);
        sm.ok(&["ingest", "a", "in.csv", "--clean", "rules.toml", "--dedup", "--shard-size", "16KiB"]);
        results.push(sm.csv("a"));
    }
    assert!(results[0] == results[1] && results[1] == results[2]);
    assert_eq!(results[0].lines().count(), 20_001);
}

#[test]
fn shards_are_found_whatever_number_of_workers_wrote_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut sm = Shardmill::embedded(dir.path());
    let lines = pseudo_rows(3, 3_000);
    sm.write("in.csv", csv(&lines));
    sm.extra = vec!["--workers".into(), "4".into()];
    sm.ok(&["ingest", "d", "in.csv", "--shard-size", "4KiB"]);
    sm.extra.clear();
    assert_eq!(sm.csv("d"), csv(&lines));
}

#[test]
fn a_late_cell_widens_its_column_and_keeps_every_text() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    let mut text = String::from("a,b\n");
    // Far more rows than are sampled, then a word among the numbers.
    (0..60_000).for_each(|n| text.push_str(&format!("{n},{n}.50\n")));
    text.push_str("word,1e3\n");
    let tail: String = (0..60_000).map(|n| format!("{n},7\n")).collect();
    text.push_str(&tail);
    sm.write("in.csv", &text);
    sm.ok(&["ingest", "a", "in.csv", "--shard-size", "64KiB"]);
    let out = sm.csv("a");
    let column = |text: &str| text.lines().map(|l| l.split(',').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(column(&out) == column(&text), "a text was changed on the way");
    assert_eq!(sm.ok(&["dataset", "show", "a"])["columns"][1]["type"], "float64");
}

#[test]
fn appending_and_new_only() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    sm.write("1.csv", "a,b\n1,x\n2,y\n");
    sm.write("2.csv", "b,c\nz,2024-01-31\n");
    sm.ok(&["ingest", "d", "1.csv", "--append"]);
    let done = sm.ok(&["ingest", "d", "1.csv", "2.csv", "--append", "--new-only"]);
    assert_eq!((done["dataset"].as_str(), done["rows"].as_u64()), (Some("d@2"), Some(3)));
    assert_eq!(done["counters"]["files"], 1);
    assert_eq!(sm.csv("d"), "a,b,c\n1,x,\n2,y,\n,z,2024-01-31\n");
    assert_eq!(sm.csv("d@1"), "a,b\n1,x\n2,y\n");
    let nothing = sm.ok(&["ingest", "d", "1.csv", "2.csv", "--append", "--new-only"]);
    assert_eq!(nothing["counters"]["files"], 0);
    assert_eq!(sm.ok(&["dataset", "show", "d"])["dataset"], "d@2");
    // Appending with duplicates dropped looks at what was there before, too.
    sm.write("3.csv", "a,b,c\n1,x,\n9,q,\n");
    let done = sm.ok(&["ingest", "d", "3.csv", "--append", "--dedup"]);
    assert_eq!(done["rows"], 4);
    assert_eq!(done["counters"]["duplicates"], 1);
    assert_eq!(sm.csv("d"), "a,b,c\n1,x,\n2,y,\n,z,2024-01-31\n9,q,\n");
}

#[test]
fn every_source_format_and_compression() {
    let Some(shared) = shared_data() else { return };
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    let planets = shared.join("seaborn-raw-planets.csv");
    std::fs::copy(&planets, dir.path().join("planets.csv")).unwrap();
    let penguins = shared.join("seaborn-penguins.csv");
    std::fs::copy(&penguins, dir.path().join("penguins.csv")).unwrap();
    sm.ok(&["ingest", "penguins", "penguins.csv"]);
    let text = sm.csv("penguins");
    for file in ["p.parquet", "p.arrow", "p.jsonl", "p.csv", "p.tsv", "p.csv.gz", "p.jsonl.zst"] {
        sm.ok(&["dataset", "export", "penguins", "--to", file]);
        let name = file.replace('.', "_");
        sm.ok(&["ingest", &name, file]);
        assert_eq!(sm.csv(&name), text, "{file}");
    }
    let input = std::fs::read(dir.path().join("penguins.csv")).unwrap();
    sm.run_with_input(&["ingest", "piped", "-"], &input).ok();
    assert_eq!(sm.csv("piped"), text);
}

#[test]
fn jobs_and_records_are_listed_by_pages() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    sm.write("in.csv", "a,b\n1,x\n2,y\n");
    for name in ["c", "d", "e"] {
        sm.ok(&["ingest", name, "in.csv"]);
    }
    for (list, verb) in [("jobs", "job"), ("records", "record")] {
        let page = sm.ok(&[verb, "list", "--limit", "2"]);
        let numbers = |page: &serde_json::Value| -> Vec<String> {
            page[list].as_array().unwrap().iter().map(|j| j["job"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!((numbers(&page), page["next"].as_str()), (vec!["j3".to_owned(), "j2".to_owned()], Some("j2")));
        let rest = sm.ok(&[verb, "list", "--limit", "2", "--before", "j2"]);
        assert_eq!((numbers(&rest), rest["next"].as_str()), (vec!["j1".to_owned()], None));
        assert_eq!(rest["damaged"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn records_tell_how_it_was_made_and_outlive_the_data() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    sm.write("in.csv", "a,b\n1,x\n1,x\n2\n");
    let made = sm.ok(&["ingest", "d", "in.csv", "--max-rejects", "1", "--ragged", "reject"]);
    let job = made["job"].as_str().unwrap().to_owned();
    sm.ok(&["dedup", "d", "e"]);
    sm.ok(&["dataset", "rm", "d"]);
    let record = sm.ok(&["record", "show", &job]);
    assert_eq!(record["ending"], "done");
    let source = &record["sources"][0];
    assert_eq!(source["name"], "in.csv");
    assert_eq!(source["size"], 14);
    assert_eq!(source["rows"], 3);
    assert_eq!(source["read_as"], "comma, header");
    assert!(source["location"].as_str().unwrap().starts_with("file://"));
    assert_eq!(source["checksum"].as_str().unwrap().len(), 32);
    assert!(source["modified"].is_string());
    assert_eq!(record["counters"], json!({"files": 1, "rows": 2, "rejected": 1}));
    assert_eq!(record["outputs"][0]["dataset"], "d@1");
    assert_eq!(record["outputs"][1]["dataset"], "d.rejects@1");
    assert!(record["who"].as_str().unwrap().contains('@'));
    assert_eq!(sm.csv("d.rejects"), "file,line,raw,reason\nin.csv,4,2,\"expected 2 fields, found 1\"\n");
    // What others still refer to stays when a dataset goes.
    assert_eq!(sm.csv("e"), "a,b\n1,x\n");
    assert_eq!(sm.ok(&["record", "show", "j2"])["inputs"][0], "d@1");
}

#[test]
fn changes_between_two_versions() {
    let dir = tempfile::tempdir().unwrap();
    let sm = Shardmill::embedded(dir.path());
    sm.write("old.csv", "id,price,city\n1,2.5,Rome\n2,3.0,\n3,4.0,Oslo\n4,5.0,Bern\n");
    sm.write("new.csv", "id,price,city\n2,3.5,Paris\n1,2.5,Rome\n3,,Oslo\n5,1.0,Kiel\n");
    sm.ok(&["ingest", "old", "old.csv"]);
    sm.ok(&["ingest", "new", "new.csv"]);
    let done = sm.ok(&["compare", "old", "new", "diff", "--on", "id", "--changes"]);
    assert_eq!(done["counters"]["changed"], json!({"price": 2, "city": 1}));
    assert_eq!(done["counters"]["rows_changed"], 2);
    assert_eq!(done["counters"]["both"], 3);
    assert_eq!(done["counters"]["left_only"], 1);
    assert_eq!(done["counters"]["right_only"], 1);
    assert_eq!(sm.csv("diff"), "id,column,left,right\n2,price,3.0,3.5\n2,city,,Paris\n3,price,4.0,\n");
}
