//! One POST over HTTP(S), tried until it is taken.
//!
//! This module does not know what is posted or to whom.

use ureq::http::StatusCode;
use ureq::tls::Certificate;

use std::path::Path;

use super::attempt::{Failure, Peer, deliver};
use super::error::NotifyError;
use crate::step::web::{self, Answer, Call, Fault, Server};
use crate::stream::Cancel;

/// Posts it, at most three times.
pub(super) fn post(channel: &'static str, post: Call, cancel: &Cancel) -> Result<(), NotifyError> {
    let setup = |problem: &str| NotifyError::Setup { channel, field: "url".to_owned(), problem: problem.to_owned() };
    let server = Server::of(&post).map_err(setup)?;
    let peer = Peer { channel, host: server.host.clone() };
    deliver(&peer.clone(), cancel, move || match server.ask(&post) {
        Ok(answer) => judge(&peer, &post, &answer),
        Err(Fault::Unreachable { detail, passes }) => Err(peer.unreachable(detail, passes).into()),
        Err(Fault::Headers(problem)) => {
            Err(NotifyError::Setup { channel, field: "headers".to_owned(), problem: problem.to_owned() }.into())
        }
    })
}

/// The certificates in a PEM file.
pub(super) fn roots(path: &Path) -> Result<Vec<Certificate<'static>>, NotifyError> {
    web::roots(path).map_err(|source| NotifyError::File { doing: "reading the certificates in", path: path.to_owned(), source })
}

fn judge(peer: &Peer, post: &Call, answer: &Answer) -> Result<(), Failure> {
    let status = answer.status;
    if status.is_success() {
        return Ok(());
    }
    let said = answer.said(post);
    let busy = status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    let denied = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
    let error = if busy { peer.busy(said) } else { peer.refused(said, denied) };
    Err(Failure { error, wait: answer.wait.filter(|_| busy) })
}
