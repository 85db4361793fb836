//! Texts, and how they are found to be written.

use super::*;

fn found(text: &str) -> Sniffed {
    sniff(text.as_bytes(), true, &Told::default())
}

/// The style, the lines that are skipped, and whether there is a header, in words.
fn read(text: &str) -> String {
    let found = found(text);
    let header = if found.header { "header" } else { "no header" };
    match found.skip_lines {
        0 => format!("{}, {header}", found.style),
        lines => format!("{}, {header} after {lines}", found.style),
    }
}

#[test]
fn the_usual_text() {
    for text in [
        "a,b\n1,x\n2,y\n",
        "a,b\n",
        "a\n1\n2\n",
        "a,b\r\n1,\"x;y;z\"\r\n",
        "name\nAnn; x\nBob\n",
        "id,a,b\n1,x\n2,y,z\n3\n",
        "",
    ] {
        assert_eq!(read(text), "comma, header", "{text:?}");
    }
    assert_eq!(read("a,b\n1,\"he said \"\"x\"\"\"\n2,C:\\\n"), "comma, header");
    assert_eq!(read("path\n\"C:\\\"\n\"D:\\\"\n"), "comma, header");
    assert_eq!(read("a,b\n1,\"oops\n2,b\n3,c\n"), "comma, header");
}

#[test]
fn delimiters() {
    assert_eq!(read("id;name;v\n1;ann;3,5\n2;bob;4,0\n"), "semicolon, header");
    assert_eq!(read("Datum;Wert, netto;Wert, brutto\n2024;3,5;4,5\n2023;1,0;2,5\n"), "semicolon, header");
    assert_eq!(read("id,name;alias\n1,ann;a\n2,bob;b\n"), "comma, header");
    assert_eq!(read("a\tb, c\n1\tx, y\n2\tz\n"), "tab, header");
    assert_eq!(read("A|B|C|\n1|2|3|\n"), "pipe, header");
    assert_eq!(read("a||b||c\n1||2||x\n||3||y\n"), "`||`, header");
    assert_eq!(read("sep=;\na;b\n1;2\n"), "semicolon, header after 1");
    assert_eq!(read("\"sep=|\"\r\na|b\r\n1|2\r\n"), "pipe, header after 1");
    let tabs = Told { tabs: true, ..Told::default() };
    assert_eq!(sniff(b"a\tb\n1\t2,3\n", true, &tabs).style.delimiter, Delimiter::Byte(b'\t'));
    assert_eq!(sniff(b"a,b\n1,2\n", true, &tabs).style.delimiter, Delimiter::Byte(b','));
}

#[test]
fn quotes_and_escapes() {
    assert_eq!(
        read("id,v\n1,\"say \\\"hi\\\" now\"\n2,\"plain\"\n3,\"x \\\"y, z\\\" w\"\n"),
        "comma, backslash escapes, header"
    );
    assert_eq!(read("id,v\n1,a\\,b\n2,c\n3,d\\,e\n"), "comma, backslash escapes, header");
    assert_eq!(read("id,v\n1,'a, b'\n2,'c'\n3,'it''s'\n"), "comma, quote ', header");
    assert_eq!(read("id\ttitle\n1\t\"Rocky\n2\tJaws\n3\t\"Alien\" (1979)\n"), "tab, no quotes, header");
    assert_eq!(read("id\tv\n1\t\"a\tb\"\n2\t\"c\"\n"), "tab, header");
}

#[test]
fn blanks() {
    assert_eq!(read("id, name\n1, \"Doe, Ann\"\n2, \"Roe, Bo\"\n"), "comma, blanks around cells cut, header");
    assert_eq!(read("a, b\n1, 2\n3, 4\n"), "comma, blanks around cells cut, header");
    assert_eq!(read("a,b\n1, x\n2,y\n3,z\n"), "comma, header");
}

#[test]
fn line_ends() {
    assert_eq!(read("id,name\r1,ann\r2,bob\r"), "comma, lines end with \\r, header");
    assert_eq!(read("id,name\r\n1,ann\n2,bob\r\n3,cy\r4,di\n"), "comma, lines end with \\r, header");
    assert_eq!(read("a,b\r\r\n1,2\r\r\n"), "comma, lines end with \\r, header");
}

#[test]
fn comments_and_titles() {
    assert_eq!(read("# made by tool\nid,v\n1,a\n# note, with comma\n2,b\n"), "comma, comments after #, header");
    assert_eq!(read("##format=1\n##date=2,3\n#CHROM\tPOS\n1\t5\n2\t6\n"), "tab, comments after ##, header");
    assert_eq!(read("#id,name\n1,x\n2,y\n"), "comma, header");
    assert_eq!(read("tag,n\n#a,1\n#b,2\n"), "comma, header");
    assert_eq!(read("Report of sales\n\nid,city,v\n1,Rome,3\n2,Oslo,4\n"), "comma, header after 2");
    assert_eq!(read("Sales, 2024\nby Ann\n1,Rome,3\n2,Oslo,4\n"), "comma, no header after 2");
    assert_eq!(read("mpg,cyl\nMazda,21,6\nFiat,32,4\n"), "comma, header");
}

#[test]
fn headers() {
    assert_eq!(read("1,Goroka,-6.08\n2,Madang,-5.2\n"), "comma, no header");
    assert_eq!(read("country,2019,2020,2021\nA,1.5,2,3\nB,1,2,3\n"), "comma, header");
    assert_eq!(read("a,1\nb,2\n"), "comma, no header");
    assert_eq!(read("ann,rome\nbob,oslo\n"), "comma, header");
    assert_eq!(read(",id,v\n0,10,a\n1,11,b\n"), "comma, header");
    assert_eq!(read("name,1st,2024-01-01\nx,1,2\n"), "comma, header");
}

#[test]
fn one_column_that_looks_like_more() {
    let unparted = |text: &str| found(text).unparted.map(|d| d.to_string());
    assert_eq!(unparted("a:b\n1:2\n3:4\n").as_deref(), Some("`:`"));
    assert_eq!(unparted("id   name  v\n1    ann   3\n22   bob   44\n").as_deref(), Some("runs of blanks"));
    assert_eq!(unparted("Kundenliste\nName;Ort\nBob;Rom\nAnn;Oslo\n").as_deref(), Some("semicolon"));
    assert_eq!(unparted("url\nhttp://a\nhttp://b\n"), None);
    assert_eq!(unparted("name\nAnn Smith\nBob Jones\n"), None);
    assert_eq!(unparted("a,b\n1,2\n3,4\n"), None);
}

#[test]
fn very_wide_tables() {
    let names: Vec<String> = (0..20_000).map(|i| format!("column {i}")).collect();
    let row = vec!["1,5"; 20_000].join(";");
    let text = format!("{}\n{row}\n{row}\n", names.join(";"));
    assert!(text.len() > SAMPLE);
    assert_eq!(read(&text), "semicolon, header");
}

#[test]
fn what_was_told_is_not_looked_for() {
    let told = Told {
        delimiter: Some(Delimiter::Byte(b',')),
        quote: Some(None),
        escape: Some(None),
        comment: Some(None),
        trim: Some(false),
        header: Some(false),
        skip_lines: Some(0),
        tabs: false,
    };
    let found = sniff(b"# x\nid; v\n1; \"a\"\n2; \"b\"\n", true, &told);
    assert_eq!(found.style, Style { quote: None, ..Style::default() });
    assert!(!found.header && found.skip_lines == 0);
    let skip = Told { skip_lines: Some(2), ..Told::default() };
    assert_eq!(sniff(b"a;b\n\"x\nid,v\n1,2\n", true, &skip).style.delimiter, Delimiter::Byte(b','));
}

#[test]
fn delimiters_beside_decimal_commas_and_others_within_cells() {
    let german = format!("Ort;Name;Preis\n{}", (0..100).map(|i| format!("Berlin;Bob;{i},50\n")).collect::<String>());
    assert_eq!(read(&german), "semicolon, header");
    let amounts = format!("Datum;Text;Betrag\n{}", "01.02.2024;Miete;-1.200,56\n".repeat(100));
    assert_eq!(read(&amounts), "semicolon, header");
    let tabs = format!("id\tname\tcity\n{}", "A0\tSmith, John\tRome\n".repeat(100));
    assert_eq!(read(&tabs), "tab, header");
    assert_eq!(read("01.02.2024;Miete;-1.234,56\n02.02.2024;Brot;-3,50\n"), "semicolon, no header");
    assert_eq!(read("Berlin;Mitte;1,5\nBonn;Nord;2,5\n"), "semicolon, no header");
    assert_eq!(read("01.02.2024 10:00;ok;12,5;x;13,5\n02.02.2024 10:00;ok;12,5;x;13,5\n"), "semicolon, no header");
    assert_eq!(found("A0|Smith, John|Rome\nA1|Lee, Ann|Oslo\n").style.delimiter, Delimiter::Byte(b'|'));
    assert_eq!(read("id,path\n1,a;b;c\n2,d;e;f\n"), "comma, header");
}

#[test]
fn one_name_above_texts_with_delimiters_in_them() {
    for text in [
        "name\nSmith, John\nLee, Ann\nDoe, Jane\n",
        "preis\n1,50\n2,30\n10,00\n",
        "umsatz\n1.234,50\n2.000,00\n",
        "genres\nAction;Drama\nComedy;War\nNoir;War\n",
        "addr\nfe80::1\nfe80::2\nfe80::3\n",
        "std::sort\nstd::map\nstd::set\n",
    ] {
        let found = found(text);
        assert_eq!(rows(&found.style, text.as_bytes(), true)[0].cells.len(), 1, "{text}");
        assert!(found.header && found.skip_lines == 0, "{text}");
    }
    assert_eq!(read("1::1193::5::978300760\n1::661::3::978302109\n"), "`::`, no header");
}

#[test]
fn names_that_are_numbers_and_values_that_are_words() {
    for header in [
        ",0,1,2\n0,0.12,0.33,0.5\n1,0.7,0.1,0.9\n2,0.3,0.2,0.1\n",
        ",0\na,0.12\nb,0.7\n",
        "0,1,2\n0.12,0.33,0.5\n0.7,0.1,0.9\n0.3,0.2,0.1\n",
        "0,1\nfoo,bar\nbaz,qux\n",
        ",0,1\n0,5,1\n1,2,6\n",
        "country,2020\nDE,1\nFR,3\n",
        "country,2020,2019\nDE,1,2\nFR,3,4\n",
        "ticker,2024-01-01,2024-01-02\nAAPL,1.5,2.5\nMSFT,3.0,4\n",
        "class,False,True\na,1,2\nb,3,4\n",
        "user,101,102,205\nbob,5,6,7\nann,5,6,7\n",
        "name,0.5,0.95\na,1,2\nb,3,4\n",
        "k,1,3,5,7,9\nacc,0.8,0.9,0.91,0.92,0.93\nf1,0.7,0.8,0.8,0.8,0.8\n",
        "\"\",\"1\",\"2\",\"3\"\n\"a\",0.1,0.2,0.3\n\"b\",0.1,0.2,0.3\n",
        "\"country\",\"2020\"\n\"DE\",5\n\"FR\",6\n",
        "\"10\",\"20\",\"30\"\n1.5,2.5,3.5\n2.5,3.5,1.5\n",
    ] {
        assert!(found(header).header, "{header}");
    }
    for none in [
        "2024-01-01,10.5,NA\n2024-01-02,11.5,3.2\n2024-01-03,11.7,3.3\n",
        "1,NA,3\n2,5,4\n3,6,4\n4,6,NA\n",
        "NULL,5\n3,4\n",
        "?,5,red\n3,4,blue\n2,6,red\n",
        "2024-01-01 10:00,ERR,5\n2024-01-01 10:01,3.5,6\n2024-01-01 10:02,4.5,6\n",
        "Golf,2019,2023\nPolo,2017,2022\nPassat,2018,2021\n",
        "Smith,1990,2005\nJones,1985,2001\n",
        "Bayern,1,2,3,4\nDortmund,2,3,1,5\nLeipzig,3,1,2,6\n",
        "1,2,3,4,alice\n5,6,7,8,bob\n",
        "1/22/20,Bob\n1/23/20,Ann\n",
        "01.01.2024,10:00,ok\n01.01.2024,11:00,ok\n",
        "00123,Bob\n00124,Ann\n",
        "1|\u{20ac} 5|-48.718|north|\n2|say hi|22.774|south|\n3|two words|1.5|east|20\n",
        "+1,+2\n-3,+4\n",
        "5%,10%\n6%,20%\n",
        "Brot,$3.50\nMilch,$1.20\n",
        "10.0.0.1,web\n10.0.0.2,db\n",
        "http://a.com/x\nhttp://b.com/y\n",
        "bob@x.com\nann@y.com\njoe@z.com\n",
        "20240101T100000Z,ab\n20240102T100000Z,cd\n",
    ] {
        assert!(!found(none).header, "{none}");
    }
}

#[test]
fn titles_are_told_from_tables() {
    assert_eq!(
        found("id,name,v\n1,bob,5\n2,ann,6\n3,joe,7,new\n4,sue,8,new\n5,tim,9,new\n6,kim,9,new\n").skip_lines,
        0
    );
    assert_eq!(
        found("2024-01-01,start\n2024-01-02,stop\n2024-01-03,err,disk\n2024-01-04,err,cpu\n2024-01-05,err,net\n")
            .skip_lines,
        0
    );
    assert_eq!(found("a,b\n1,2\n3,4\n\nx,y,z\n1,2,3\n4,5,6\n7,8,9\n").skip_lines, 0);
    assert_eq!(found("a,b\n1,2,,\n3,4,,\n").skip_lines, 0);
    assert!(!found("id,comment\n1,hello, world\n2,hi, you\n3,bye, bye\n").short_header);
    assert!(!found("id,comment\n1,hello, world\n2,hi\n3,bye, bye\n4,ok\n5,a, b\n").short_header);
    assert!(!found("a,b\n1,2,\n3,4,\n").short_header);
    assert!(found("mpg,cyl\nMazda,21,6\nFiat,32,4\n").short_header);
    assert_eq!(read("Contacts export\n\nname,city\nbob,Rome\nann,Oslo\n"), "comma, header after 2");
    assert_eq!(read("Sales report,,\n,,\nRegion,Q1,Q2\nNorth,1,2\nSouth,3,4\n"), "comma, header after 2");
}

#[test]
fn few_records_tell_how_quotes_are_written() {
    let plain = |n: usize| (0..n).map(|i| format!("{i}\tplain\n")).collect::<String>();
    let stray = format!("id\tnote\n{}900\t\"open\n{}901\t\"open\n{}", plain(150), plain(50), plain(100));
    assert_eq!(read(&stray), "tab, no quotes, header");
    let quoted = (0..300).map(|i| format!("{i},\"plain\"\n")).collect::<String>();
    assert_eq!(read(&format!("id,v\n{quoted}900,\"say \\\"hi, you\\\" now\"\n")), "comma, backslash escapes, header");
    assert_eq!(read("#name\nbob\nann\n"), "comma, header");
    assert_eq!(read("item,qty,note\nA,1,x\n#5 bolt,2\nB,3,y\n"), "comma, header");
}
