//! Tests of the reader: every operation in one file, and a mistake of every kind with its exact message.

use super::*;

const EVERY: &str = include_str!("every_op.toml");

#[test]
fn every_operation_is_read_and_survives_json() {
    let set = RuleSet::parse(EVERY, "rules.toml").unwrap();
    let names: Vec<&str> = set.rules.iter().map(|r| r.op.name()).collect();
    for op in OPS {
        assert!(names.contains(&op), "{op} is not in every_op.toml");
    }
    assert_eq!(set.rules[0].label, "1 trim");
    assert_eq!(set.rules[0].line, 2);
    assert_eq!(set.rules[0].place(), "rules.toml:2: trim");
    let json = serde_json::to_string(&set).unwrap();
    assert_eq!(serde_json::from_str::<RuleSet>(&json).unwrap(), set);
}

#[test]
fn defaults_and_options() {
    let one = |text: &str| RuleSet::parse(text, "r").unwrap().rules.remove(0);
    assert_eq!(one("[[rule]]\nop='trim'").op, Op::Trim { side: Side::Both });
    assert_eq!(one("[[rule]]\nop='trim'").columns, Columns::Applicable);
    assert_eq!(one("[[rule]]\nop='trim'\ncolumns='a'").columns, Columns::Listed(vec!["a".into()]));
    let Op::Cast(cast) = one("[[rule]]\nop='cast'\ncolumns='a'\nto='float'").op else { panic!() };
    assert_eq!((cast.on_error, cast.decimal, cast.thousands), (CastError::Fail, '.', None));
    assert_eq!(one("[[rule]]\nop='zscore'\ncolumns='a'").op, Op::Zscore { limit: 3.0, on_error: CheckError::Null });
    assert_eq!(
        one("[[rule]]\nop='iqr'\ncolumns='a'\nfactor=3").op,
        Op::Iqr { factor: 3.0, on_error: CheckError::Null }
    );
    assert_eq!(one("[[rule]]\nop='standardize'\ncolumns='a'").label, "1 standardise");
    assert_eq!(
        one("[[rule]]\nop='fill'\ncolumns='a'\nvalue=2024-02-29").op,
        Op::Fill { with: Fill::Value(Scalar::Date(19782)) }
    );
    assert_eq!(
        one("[[rule]]\nop='rename'\ncolumns={b='x', a='y'}").op,
        Op::Rename { names: vec![("b".into(), "x".into()), ("a".into(), "y".into())] }
    );
}

#[test]
fn only_rules_of_the_whole_need_statistics() {
    let needs = |text: &str| {
        let rule = RuleSet::parse(text, "r").unwrap().rules.remove(0);
        (rule.needs_statistics(), rule.needs_values())
    };
    assert_eq!(needs("[[rule]]\nop='trim'"), (false, false));
    assert_eq!(needs("[[rule]]\nop='fill'\ncolumns='a'\nvalue=1"), (false, false));
    assert_eq!(needs("[[rule]]\nop='fill'\ncolumns='a'\nwith='mean'"), (true, false));
    assert_eq!(needs("[[rule]]\nop='fill'\ncolumns='a'\nwith='median'"), (true, true));
    assert_eq!(needs("[[rule]]\nop='fill'\ncolumns='a'\nwith='forward'"), (true, false));
    assert_eq!(needs("[[rule]]\nop='iqr'\ncolumns='a'"), (true, true));
    assert_eq!(needs("[[rule]]\nop='standardise'\ncolumns='a'"), (true, false));
}

#[test]
fn mistakes_name_file_line_what_was_found_and_what_is_allowed() {
    let ops = OPS.join(", ");
    let no_op = format!("rules.toml:1: the rule has no `op`; an operation is one of: {ops}");
    let bad_op = format!("rules.toml:3: unknown operation `tirm` (did you mean `trim`?); allowed: {ops}");
    let op_type = format!("rules.toml:2: `op` must be a string, not the number 3; allowed: {ops}");
    let cases: Vec<(&str, &str)> = vec![
        ("", "rules.toml: there are no rules; write each as a [[rule]] table"),
        (
            "[[rules]]\nop='trim'",
            "rules.toml:1: unknown key `rules` (did you mean `rule`?); a rules file has only [[rule]] tables",
        ),
        ("\n[rule]\nop='trim'", "rules.toml:2: `rule` must be written as [[rule]] tables; this is a table"),
        ("rule = [1]", "rules.toml:1: `rule` must be written as [[rule]] tables; this has the number 1"),
        ("[[rule]]\ncolumns=['a']", &no_op),
        ("[[rule]]\n\nop='tirm'", &bad_op),
        ("[[rule]]\nop=3", &op_type),
        (
            "[[rule]]\nop='cast'\ncolumns=['a']\ntot='float'",
            "rules.toml:4: unknown option `tot` for `cast` (did you mean `to`?); allowed: columns, to, formats, timezone, thousands, decimal, currency, percent, accounting, on_error",
        ),
        ("[[rule]]\nop='trim'\nsql='x'", "rules.toml:3: unknown option `sql` for `trim`; allowed: columns, side"),
        (
            "[[rule]]\nop='cast'\nto='float'",
            "rules.toml:1: `cast` needs `columns`, a list of names or globs such as [\"price\", \"addr_*\"]",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'",
            "rules.toml:1: `cast` needs `to`: integer, float, decimal(10,2), boolean, date, datetime, time, duration, binary or string",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='flot'",
            "rules.toml:4: `to` of `cast` cannot be `flot` (did you mean `float`?); allowed: integer, float, boolean, date, datetime, time, duration, binary, string",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='float'\non_error='drop'",
            "rules.toml:5: `on_error` of `cast` cannot be `drop`; allowed: null, reject, fail",
        ),
        (
            "[[rule]]\nop='trim'\ncolumns=3",
            "rules.toml:3: `columns` of `trim` must be a list of strings; it has 3, a whole number",
        ),
        ("[[rule]]\nop='trim'\ncolumns=[]", "rules.toml:3: `columns` of `trim` must not be empty"),
        ("[[rule]]\nop='trim'\ncolumns=['']", "rules.toml:3: `columns` of `trim` has an empty name"),
        (
            "[[rule]]\nop='trim'\ncolumns=[\n'a',\n['b']]",
            "rules.toml:5: `columns` of `trim` must be a list of plain values; it has a list",
        ),
        (
            "[[rule]]\nop='trim'\ncolumns={a='b'}",
            "rules.toml:3: `columns` of `trim` must be a value or a list of values, not a table",
        ),
        ("[[rule]]\nop='case'\nto=1", "rules.toml:3: `to` of `case` must be a string, not the number 1"),
        ("[[rule]]\nop='case'", "rules.toml:1: `case` needs `to`: lower, upper or title"),
        ("[[rule]]\nop='replace'\nfind='a'", "rules.toml:1: `replace` needs `with`, a string"),
        (
            "[[rule]]\nop='replace'\nfind=''\nwith='x'",
            "rules.toml:3: `find` of `replace` must not be empty unless `whole = true`",
        ),
        (
            "[[rule]]\nop='replace'\nfind='('\nwith='x'\nregex=true",
            "rules.toml:3: `find` of `replace` is not a regular expression: unclosed group",
        ),
        (
            "[[rule]]\nop='replace'\nfind='a'\nwith='x'\nregex='yes'",
            "rules.toml:5: `regex` of `replace` must be true or false, not the string \"yes\"",
        ),
        ("[[rule]]\nop='null_if'", "rules.toml:1: `null_if` needs `values`, a list such as [\"\", \"n/a\"]"),
        (
            "[[rule]]\nop='null_if'\nvalues=['',1]",
            "rules.toml:3: `values` of `null_if` must be all strings or all numbers",
        ),
        (
            "[[rule]]\nop='null_if'\nvalues=[1]\nignore_case=true",
            "rules.toml:4: `ignore_case` of `null_if` is for strings only",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='float'\nformats=['%Y']",
            "rules.toml:5: `formats` of `cast` is for casts to date, datetime or string only",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='date'\ntimezone='UTC'",
            "rules.toml:5: `timezone` of `cast` is for casts to datetime only",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='date'\nformats=['%Q']",
            "rules.toml:5: `formats` of `cast` has `%Q`, which is not a strftime format such as %Y-%m-%d %H:%M:%S",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='datetime'\nformats=['%Y %z','%Y']",
            "rules.toml:5: `formats` of `cast` has some with an offset (%z) and some without; say with `timezone` how to read those without",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='float'\nthousands='.'",
            "rules.toml:5: `thousands` of `cast` and `decimal` are both `.`",
        ),
        (
            "[[rule]]\nop='cast'\ncolumns='a'\nto='float'\ndecimal='dot'",
            "rules.toml:5: `decimal` of `cast` must be one character that is no letter, digit or sign, not `dot`",
        ),
        (
            "[[rule]]\nop='fill'\ncolumns='a'",
            "rules.toml:1: `fill` needs `value`, or `with`: mean, median, mode or forward",
        ),
        (
            "[[rule]]\nop='fill'\ncolumns='a'\nvalue=1\nwith='mean'",
            "rules.toml:5: `with` of `fill` and `value` exclude each other",
        ),
        (
            "[[rule]]\nop='fill'\ncolumns='a'\nvalue=[1]",
            "rules.toml:4: `value` of `fill` must be a string, number, boolean, date or datetime, not a list",
        ),
        ("[[rule]]\nop='clip'\ncolumns='a'", "rules.toml:1: `clip` needs `min`, `max` or both"),
        ("[[rule]]\nop='range'\ncolumns='a'\nmin=2\nmax=1", "rules.toml:4: `min` of `range` is 2, above `max`, 1"),
        (
            "[[rule]]\nop='range'\ncolumns='a'\nmin=true",
            "rules.toml:4: `min` of `range` must be a number, date or datetime, not true",
        ),
        ("[[rule]]\nop='pattern'\ncolumns='a'", "rules.toml:1: `pattern` needs `pattern`, a string"),
        (
            "[[rule]]\nop='pattern'\ncolumns='a'\npattern='[0-9'",
            "rules.toml:4: `pattern` of `pattern` is not a regular expression: unclosed character class",
        ),
        ("[[rule]]\nop='zscore'\ncolumns='a'\nlimit=0", "rules.toml:4: `limit` of `zscore` must be above 0, not 0"),
        (
            "[[rule]]\nop='iqr'\ncolumns='a'\nfactor='x'",
            "rules.toml:4: `factor` of `iqr` must be a number, not the string \"x\"",
        ),
        (
            "[[rule]]\nop='rename'",
            "rules.toml:1: `rename` needs `columns`, a table of old and new names, such as { old = \"new\" }",
        ),
        (
            "[[rule]]\nop='rename'\ncolumns=['a']",
            "rules.toml:3: `columns` of `rename` must be a table of old and new names, such as { old = \"new\" }, not a list",
        ),
        ("[[rule]]\nop='rename'\ncolumns={a=''}", "rules.toml:3: `columns` of `rename` gives `a` an empty name"),
        (
            "[[rule]]\nop='rename'\ncolumns={a=1}",
            "rules.toml:3: `columns` of `rename` must give `a` a name, not the number 1",
        ),
        ("[[rule]]\nop='rename'\ncolumns={}", "rules.toml:3: `columns` of `rename` must not be empty"),
        ("[[rule]]\nop='filter'", "rules.toml:1: `filter` needs `sql`, a string"),
        ("[[rule]]\nop='derive'\nsql='1'", "rules.toml:1: `derive` needs `column`, a string"),
        ("[[rule]]\nop='derive'\ncolumn=''\nsql='1'", "rules.toml:3: `column` of `derive` must not be empty"),
        (
            "[[rule]]\nop='drop_nulls'\nhow='some'",
            "rules.toml:3: `how` of `drop_nulls` cannot be `some`; allowed: any, all",
        ),
    ];
    for (text, message) in cases {
        assert_eq!(RuleSet::parse(text, "rules.toml").unwrap_err().to_string(), message, "{text}");
    }
    let broken = RuleSet::parse("[[rule]]\nop = 'trim\n", "rules.toml").unwrap_err().to_string();
    assert!(broken.starts_with("rules.toml:2: not valid TOML: "), "{broken}");
    let twice = RuleSet::parse("[[rule]]\nop='trim'\nop='case'", "rules.toml").unwrap_err().to_string();
    assert!(twice.starts_with("rules.toml:3: not valid TOML: duplicate key"), "{twice}");
}

#[test]
fn every_example_of_the_reference_is_valid() {
    let reference = include_str!("../../../docs/rules.md");
    let examples: Vec<&str> =
        reference.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(examples.len() > 15, "{}", examples.len());
    for example in examples {
        RuleSet::parse(example, "docs/rules.md").unwrap();
    }
    for op in OPS {
        assert!(
            reference.contains(&format!("### {op}")) || reference.contains(&format!(" and {op}\n")),
            "{op} is not in the reference"
        );
    }
}
