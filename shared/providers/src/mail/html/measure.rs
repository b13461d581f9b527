//! How much of some HTML may be read: a page of 20 kB can say that it has a million elements.
//!
//! `<b>` holds until `</b>`, through every paragraph that comes between, so a reader makes it again for each of them, with all of its
//! attributes. That is seen by nobody but a reader. So one that keeps nothing goes first, takes the page bit by bit, and says where it
//! has had enough.

use super::super::TEXT_LIMIT;
use html5ever::interface::{ElemName, ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::tendril::{StrTendril, TendrilSink};
use html5ever::{
    Attribute, LocalName, Namespace, ParseOpts, QualName, local_name, ns, parse_fragment,
};

use std::borrow::Cow;
use std::cell::Cell;
use std::rc::Rc;

/// Elements of one page. The longest newsletters have three thousand.
const ELEMENTS: usize = 20_000;
/// Bytes of all of them with their attributes, as they would be written down.
const BYTES: usize = 2 * TEXT_LIMIT;
/// Elements within one another: each new one is looked up among those that are open.
const DEPTH: usize = 1_000;
/// Of one tag: each attribute is looked up among those that it has already. A picture that is written out in one has fewer.
const SEPARATORS: usize = 20_000;
/// Bytes that are read at a time: what one bit of them makes is made.
const BIT: usize = 64;

/// The bytes of it that may be read; all of it, for what mail programs write.
pub(super) fn readable(html: &str) -> usize {
    let made = Rc::new(Made::default());
    let sink = Measure(Rc::clone(&made));
    let div = QualName::new(None, ns!(html), local_name!("div"));
    // As the reader that comes after it.
    let mut parser = parse_fragment(sink, ParseOpts::default(), div, Vec::new(), false);
    let (mut at, mut apart) = (0, 0);
    while at < html.len() {
        let end = html.ceil_char_boundary((at + BIT).min(html.len()));
        let bit = &html[at..end];
        made.heard.set(false);
        parser.process(StrTendril::from_slice(bit));
        apart = if made.heard.get() {
            0
        } else {
            apart + separators(bit)
        };
        if made.is_enough() || apart > SEPARATORS {
            return at;
        }
        at = end;
    }
    at
}

/// What may stand between two attributes.
fn separators(text: &str) -> usize {
    let between = |byte: &u8| byte.is_ascii_whitespace() || b"\"'/=".contains(byte);
    text.bytes().filter(|byte| between(byte)).count()
}

/// What a page has come to.
#[derive(Default)]
struct Made {
    /// Has the reader said anything since? Within a tag it says nothing.
    heard: Cell<bool>,
    elements: Cell<usize>,
    bytes: Cell<usize>,
    depth: Cell<usize>,
}

impl Made {
    fn is_enough(&self) -> bool {
        self.elements.get() > ELEMENTS || self.bytes.get() > BYTES || self.depth.get() > DEPTH
    }

    fn add(&self, name: &QualName, attributes: &[Attribute]) {
        let of = |attribute: &Attribute| attribute.name.local.len() + attribute.value.len() + 4;
        let attributes: usize = attributes.iter().map(of).sum();
        let bytes = 2 * name.local.len() + 5 + attributes;
        self.heard.set(true);
        self.elements.set(self.elements.get() + 1);
        self.bytes.set(self.bytes.get() + bytes);
    }
}

/// Hears what a reader would make, and makes nothing.
struct Measure(Rc<Made>);

struct Node {
    name: QualName,
    attributes: Cell<usize>,
    depth: Cell<usize>,
    is_integration_point: bool,
}

type Handle = Rc<Node>;

impl Measure {
    fn node(name: QualName, flags: &ElementFlags) -> Handle {
        Rc::new(Node {
            name,
            attributes: Cell::new(0),
            depth: Cell::new(0),
            is_integration_point: flags.mathml_annotation_xml_integration_point,
        })
    }

    fn nameless() -> Handle {
        let name = QualName::new(None, ns!(), local_name!(""));
        Self::node(name, &ElementFlags::default())
    }

    fn put(&self, child: &NodeOrText<Handle>, depth: usize) {
        self.0.heard.set(true);
        if let NodeOrText::AppendNode(node) = child {
            node.depth.set(depth);
            self.0.depth.set(self.0.depth.get().max(depth));
        }
    }
}

/// Of an element, as a reader asks for it.
#[derive(Debug)]
struct Name<'a>(&'a QualName);

impl ElemName for Name<'_> {
    fn ns(&self) -> &Namespace {
        &self.0.ns
    }

    fn local_name(&self) -> &LocalName {
        &self.0.local
    }
}

impl TreeSink for Measure {
    type Handle = Handle;
    type Output = ();
    type ElemName<'a> = Name<'a>;

    fn finish(self) {}

    fn parse_error(&self, _: Cow<'static, str>) {}

    fn get_document(&self) -> Handle {
        Self::nameless()
    }

    fn elem_name<'a>(&'a self, target: &'a Handle) -> Name<'a> {
        Name(&target.name)
    }

    fn create_element(
        &self,
        name: QualName,
        attributes: Vec<Attribute>,
        flags: ElementFlags,
    ) -> Handle {
        self.0.add(&name, &attributes);
        Self::node(name, &flags)
    }

    fn create_comment(&self, _: StrTendril) -> Handle {
        Self::nameless()
    }

    fn create_pi(&self, _: StrTendril, _: StrTendril) -> Handle {
        Self::nameless()
    }

    fn append(&self, parent: &Handle, child: NodeOrText<Handle>) {
        self.put(&child, parent.depth.get() + 1);
    }

    fn append_based_on_parent_node(&self, element: &Handle, _: &Handle, child: NodeOrText<Handle>) {
        self.put(&child, element.depth.get());
    }

    fn append_doctype_to_document(&self, _: StrTendril, _: StrTendril, _: StrTendril) {}

    fn get_template_contents(&self, target: &Handle) -> Handle {
        Rc::clone(target)
    }

    fn same_node(&self, one: &Handle, other: &Handle) -> bool {
        Rc::ptr_eq(one, other)
    }

    fn set_quirks_mode(&self, _: QuirksMode) {}

    fn append_before_sibling(&self, sibling: &Handle, child: NodeOrText<Handle>) {
        self.put(&child, sibling.depth.get());
    }

    /// A reader looks through all that are there for each of them.
    fn add_attrs_if_missing(&self, target: &Handle, attributes: Vec<Attribute>) {
        self.0.add(&target.name, &attributes);
        let there = target.attributes.get() + attributes.len();
        target.attributes.set(there);
        self.0.bytes.set(self.0.bytes.get() + 8 * there);
    }

    fn remove_from_parent(&self, _: &Handle) {}

    fn reparent_children(&self, _: &Handle, _: &Handle) {}

    fn is_mathml_annotation_xml_integration_point(&self, handle: &Handle) -> bool {
        handle.is_integration_point
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_people_write_is_read_whole() {
        for html in [
            String::new(),
            "¡<b>Hola</b>, <i>Ana</i>! ".repeat(2_000),
            "<table><tr><td>".repeat(60) + "x" + &"</td></tr></table>".repeat(60),
            "<blockquote><div>".repeat(200),
            format!(
                "<img src='data:image/png;base64,{}'>",
                "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk/8".repeat(3_900)
            ),
        ] {
            assert_eq!(readable(&html), html.len());
        }
    }

    #[test]
    fn what_makes_more_than_it_says_is_read_as_far_as_that_goes() {
        let named = |many| (0..many).map(|place| format!("<b title={place}>"));
        let held: String = named(1_000).collect();
        let held = format!("<p>{held}{}", "<p>x".repeat(1_000));
        assert!((12_800..13_100).contains(&readable(&held)));
        let long = format!(
            "<p><b title='{}'>{}",
            "x".repeat(20_000),
            "<p>x".repeat(1_000)
        );
        assert!(readable(&long) < 20_300);
        assert!(readable(&"<div>".repeat(9_000)) < 5_200);
        let attributes: Vec<String> = (0..20_000).map(|n| format!(" a{n}=\"1\"")).collect();
        let many = format!("<p {}>", attributes.concat());
        assert!(readable(&many) < many.len() / 2);
        let html: Vec<String> = (0..5_000).map(|n| format!("<html a{n}>")).collect();
        let html = html.concat();
        assert!(readable(&html) < html.len() / 5);
    }
}
