use super::*;

fn usage(name: &str, snapshot: Option<&str>, provisioned: u64, used: u64) -> Usage {
    let space = snapshot.is_none().then(Space::default);
    let snapshot = snapshot.map(|snapshot| (snapshot.to_owned(), 7));
    Usage { name: name.into(), id: "id".into(), snapshot, provisioned: provisioned << 20, used: used << 20, space }
}

fn some() -> Vec<Usage> {
    vec![usage("a", None, 5, 1), usage("b", Some("s"), 10, 4), usage("b", Some("t"), 20, 2), usage("b", None, 20, 3)]
}

const SHOWN: Shown = Shown { totals: true, long: false, merged: false };

#[test]
fn an_image_counts_once_in_what_is_provisioned() {
    assert_eq!(sums(&some(), &Span::default()), (25 << 20, 10 << 20));
    let to = Span { from: None, to: Some("t".into()) };
    assert_eq!(sums(&some()[1..3], &to), (30 << 20, 6 << 20));
}

#[test]
fn merged_rows_have_what_their_snapshots_take() {
    let text = plain(&some(), &Span::default(), Shown { merged: true, ..SHOWN });
    let wanted = "NAME     PROVISIONED  USED  \na              5 MiB   1 MiB\nb             20 MiB   9 MiB\n\
                  <TOTAL>       25 MiB  10 MiB\n";
    assert_eq!(text, wanted);
    // Of snapshots alone nothing is left to show but the sum.
    let to = Span { from: None, to: Some("t".into()) };
    assert_eq!(plain(&some()[1..2], &to, Shown { merged: true, ..SHOWN }), "NAME  PROVISIONED  USED\n");
}

#[test]
fn snapshots_have_no_figures_of_the_log() {
    let text = plain(&some()[1..], &Span::default(), Shown { long: true, ..SHOWN });
    assert_eq!(text.lines().nth(1).unwrap().trim_end(), "b@s           10 MiB  4 MiB");
    let json = Format::Json { pretty: false }.render("s", &tree(&some()[2..], &Span::default(), SHOWN)).unwrap();
    let wanted = "{\"images\":[{\"name\":\"b\",\"id\":\"id\",\"snapshot\":\"t\",\"snapshot_id\":7,\
                  \"provisioned_size\":20971520,\"used_size\":2097152},{\"name\":\"b\",\"id\":\"id\",\
                  \"provisioned_size\":20971520,\"used_size\":3145728}],\
                  \"total_provisioned_size\":20971520,\"total_used_size\":5242880}\n";
    assert_eq!(json, wanted);
}
