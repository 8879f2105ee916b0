//! Conditions beside the path: method, header fields, query parameters.

use gatefleet_snapshot::v1::{self, value_match::Kind};

use crate::{MatchError, pattern::Pattern, query};

/// What a match can ask about a request.
pub trait Request {
    /// The path, without query.
    fn path(&self) -> &[u8];
    /// The method, case-sensitive.
    fn method(&self) -> &[u8];
    /// The text after the question mark, if there is one.
    fn query(&self) -> Option<&[u8]>;
    /// Whether `fits` holds for a value of this field (name in lower case). Every value is asked, in order,
    /// until one fits.
    fn any_header(&self, name: &[u8], fits: &mut dyn FnMut(&[u8]) -> bool) -> bool;
}

#[derive(Debug)]
enum Test {
    Exact(Box<[u8]>),
    Regex(Pattern),
    Present(bool),
}

/// A condition on a header field or a query parameter.
#[derive(Debug)]
struct ValueTest {
    name: Box<[u8]>,
    test: Test,
    invert: bool,
}

/// All conditions of one match except the path.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    method: Box<[u8]>,
    headers: Box<[ValueTest]>,
    query: Box<[ValueTest]>,
}

impl Conditions {
    pub(crate) fn compile(source: &v1::Match) -> Result<Self, MatchError> {
        if !source.method.bytes().all(is_token_byte) {
            let problem = format!("{:?} is no method", source.method);
            return Err(MatchError::new("method", problem, "use a token such as GET"));
        }
        Ok(Self {
            method: source.method.as_bytes().into(),
            headers: compile_all(&source.headers, "headers", true)?,
            query: compile_all(&source.query, "query", false)?,
        })
    }

    pub(crate) fn fit(&self, request: &impl Request) -> bool {
        (self.method.is_empty() || *self.method == *request.method())
            && self.headers.iter().all(|test| test.fits_header(request))
            && self.query.iter().all(|test| test.fits_query(request.query().unwrap_or_default()))
    }
}

fn compile_all(
    sources: &[v1::ValueMatch],
    list: &str,
    lower: bool,
) -> Result<Box<[ValueTest]>, MatchError> {
    let compile = |(index, source)| {
        ValueTest::compile(source, lower).map_err(|error| error.within(&format!("{list}[{index}]")))
    };
    sources.iter().enumerate().map(compile).collect()
}

impl ValueTest {
    fn compile(source: &v1::ValueMatch, lower: bool) -> Result<Self, MatchError> {
        let name =
            if lower { source.name.to_ascii_lowercase() } else { source.name.clone() }.into_bytes();
        if name.is_empty() || (lower && !name.iter().copied().all(is_token_byte)) {
            let problem = format!("{:?} is no name", source.name);
            return Err(MatchError::new("name", problem, "name a header field or query parameter"));
        }
        let test = match &source.kind {
            Some(Kind::Exact(value)) => Test::Exact(value.as_bytes().into()),
            Some(Kind::Regex(regex)) => {
                Test::Regex(Pattern::compile(regex).map_err(|error| error.within("regex"))?)
            }
            Some(Kind::Present(present)) => Test::Present(*present),
            None => {
                let remedy = "set exact, regex or present";
                return Err(MatchError::new("", "nothing to compare with", remedy));
            }
        };
        Ok(Self { name: name.into(), test, invert: source.invert })
    }

    fn fits_header(&self, request: &impl Request) -> bool {
        let fits = match &self.test {
            Test::Exact(value) => request.any_header(&self.name, &mut |found| *found == **value),
            Test::Regex(pattern) => {
                request.any_header(&self.name, &mut |found| pattern.is_match(found))
            }
            Test::Present(present) => request.any_header(&self.name, &mut |_| true) == *present,
        };
        fits != self.invert
    }

    fn fits_query(&self, query: &[u8]) -> bool {
        let found = query::find(query, &self.name);
        let fits = match &self.test {
            Test::Exact(value) => found.is_some_and(|found| query::decoded_eq(found, value)),
            Test::Regex(pattern) => found.is_some_and(|found| pattern.is_match(found)),
            Test::Present(present) => found.is_some() == *present,
        };
        fits != self.invert
    }
}

/// RFC 9110 section 5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
