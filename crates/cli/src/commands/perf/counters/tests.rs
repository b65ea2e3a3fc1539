use super::*;
use crate::output::format::Format;

fn stats(client: u64, cookie: u64, counters: Option<&[(&str, u64)]>) -> ClientStats {
    let named = |counters: &[(&str, u64)]| counters.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    ClientStats {
        watcher: Watcher { addr: format!("10.0.0.1:0/{client}"), client, cookie },
        counters: counters.map(named),
    }
}

fn json(clients: &[Client]) -> String {
    Format::Json { pretty: false }.render("counters", &tree(clients)).unwrap()
}

#[test]
fn programs_get_groups() {
    let counters = [("io.reads", 1), ("io.writes", 20), ("log.batches", 3), ("io.flushes", 4)];
    let clients = totals(vec![stats(7, 2, Some(&counters)), stats(8, 1, None)]);
    let wanted = "[{\"client\":7,\"address\":\"10.0.0.1:0/7\",\"cookie\":2,\"counters\":\
                  {\"io\":{\"reads\":1,\"writes\":20,\"flushes\":4},\"log\":{\"batches\":3}}},\
                  {\"client\":8,\"address\":\"10.0.0.1:0/8\",\"cookie\":1}]\n";
    assert_eq!(json(&clients), wanted);
    let xml = Format::Xml { pretty: false }.render("counters", &tree(&clients[..1])).unwrap();
    let wanted = "<counters><watcher><client>7</client><address>10.0.0.1:0/7</address><cookie>2</cookie><counters>\
                  <io><reads>1</reads><writes>20</writes><flushes>4</flushes></io><log><batches>3</batches></log>\
                  </counters></watcher></counters>\n";
    assert_eq!(xml, wanted);
}

#[test]
fn people_get_a_table() {
    let (old, new) = ([("io.reads", 1), ("io.writes", 123_456)], [("io.reads", 5), ("io.news", 6)]);
    let clients = totals(vec![stats(7, 1, Some(&old)), stats(7, 2, Some(&new)), stats(8, 1, None)]);
    let wanted = "COUNTER    client.7/1  client.7/2\n\
                  io.reads            1           5\n\
                  io.writes      123456           -\n\
                  io.news             -           6\n\
                  client.8 at 10.0.0.1:0/8: no counters\n";
    assert_eq!(plain(&clients, "COUNTER"), wanted);
    assert_eq!(plain(&clients[..1], "X"), "X          client.7\nio.reads          1\nio.writes    123456\n");
    assert_eq!(plain(&clients[2..], "COUNTER"), "client.8 at 10.0.0.1:0/8: no counters\n");
    assert_eq!(plain(&[], "COUNTER"), "No client has the image open for writing.\n");
}

#[test]
fn rates_are_differences_by_second_of_the_same_handle() {
    let before = [
        stats(7, 1, Some(&[("io.reads", 10), ("io.writes", 5)])),
        stats(8, 1, None),
        stats(9, 1, Some(&[("io.reads", 1)])),
    ];
    let now = [
        stats(7, 1, Some(&[("io.reads", 15), ("io.writes", 5)])),
        // Opened since; the same process as before.
        stats(7, 2, Some(&[("io.reads", 100)])),
        stats(8, 1, Some(&[("io.reads", 3)])),
        stats(9, 1, None),
    ];
    let rates = rates(&before, &now, Duration::from_secs(2));
    let first = vec![("io.reads".to_owned(), Figure::PerSecond(2.5)), ("io.writes".to_owned(), Figure::PerSecond(0.0))];
    assert_eq!(rates[0].figures, Some(first));
    assert!(rates.len() == 4 && rates[1..].iter().all(|client| client.figures.is_none()), "{rates:?}");
    assert_eq!(plain(&rates[..1], "PER SECOND"), "PER SECOND  client.7\nio.reads         2.5\nio.writes        0.0\n");
    assert!(json(&rates[..1]).contains("{\"io\":{\"reads\":2.5,\"writes\":0.0}}"), "{}", json(&rates));
}
