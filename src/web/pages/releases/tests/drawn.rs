//! Names from outside never become part of a drawing: whatever they are, it has the same elements and attributes.

use proptest::prelude::*;
use quick_xml::{Reader, events::Event};

use super::*;

/// Text made of what ends text, attributes, tags, comments and drawings.
fn names() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        prop::sample::select(vec![
            "<",
            ">",
            "\"",
            "'",
            "&",
            "&lt;",
            "&#60;",
            "/>",
            "]]>",
            "<![CDATA[",
            "<!--",
            "-->",
            "<?x",
            "</svg>",
            "</text>",
            "</title>",
            "<script>",
            "<a href=javascript:x>",
            " onload=x ",
            "{{ 7 }}",
            "{% raw %}",
            "\0",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ];
    prop::collection::vec(piece, 1..8).prop_map(|pieces| format!("n{}", pieces.concat()))
}

/// Elements in order with the names of their attributes.
fn skeleton(svg: &str) -> Vec<String> {
    let mut reader = Reader::from_str(svg);
    let mut elements = Vec::new();
    loop {
        match reader
            .read_event()
            .unwrap_or_else(|error| panic!("{error}: {svg}"))
        {
            Event::Start(tag) | Event::Empty(tag) => {
                let mut element = tag.name().as_ref().to_owned();
                for attribute in tag.html_attributes() {
                    let attribute = attribute.unwrap_or_else(|error| panic!("{error}: {svg}"));
                    element.push(' ');
                    element.push_str(attribute.key.as_ref());
                }
                elements.push(element);
            }
            Event::End(tag) => {
                let name = tag.name().as_ref().to_owned();
                elements.push(format!("/{name}"));
            }
            Event::Eof => return elements,
            Event::Text(_) | Event::GeneralRef(_) => {}
            other => panic!("no drawing of ours has {other:?}: {svg}"),
        }
    }
}

/// All drawings of a page.
fn drawings(page: &str) -> Vec<Vec<String>> {
    let begun = page.split("<svg").skip(1);
    let whole = begun.map(|rest| rest.split_once("</svg>").expect("it ends").0);
    whole
        .map(|inner| skeleton(&format!("<svg{inner}</svg>")))
        .collect()
}

fn pages(text: &str) -> [Vec<Vec<String>>; 3] {
    [
        render("release.html", &full_release(text)),
        render("service.html", &full_service(text)),
        render("fanout.html", &fan_out(text, 2, false)),
    ]
    .map(|page| drawings(&page.unwrap()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn no_name_adds_to_a_drawing(name in names()) {
        let plain = pages("a");
        prop_assert!(plain.iter().flatten().count() >= 3, "{plain:?}");
        prop_assert_eq!(pages(&name), plain);
    }
}
