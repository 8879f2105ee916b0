//! Which replica of the operator writes: leader election on a Lease, with client-go's rules.
//!
//! In: a client, the Lease's name, this replica's identity. Out: [`Term`]s for
//! [`Leadership`](gatefleet_apply::Leadership). A term ends by itself before anybody else may take the Lease, so
//! that a leader which is cut off, or stands still, writes nothing when it comes back.

mod record;

use std::time::{Duration, Instant};

use gatefleet_apply::Term;
use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tokio::sync::watch;

use self::record::{Step, Watchful};

/// Which Lease is held, by whom, for how long.
#[derive(Clone, Debug)]
pub struct Election {
    /// Namespace of the Lease.
    pub namespace: String,
    /// Its name.
    pub lease: String,
    /// Differs between any two processes, also of one pod.
    pub identity: String,
    /// A Lease that was not renewed for so long is free. Whole seconds, at least 1.
    pub duration: Duration,
}

impl Election {
    /// A leader that could not renew for so long stops writing: two thirds of the duration (client-go: 10 of 15 s).
    fn renew_deadline(&self) -> Duration {
        self.duration * 2 / 3
    }

    /// How long between two attempts (client-go: 2 of 15 s).
    fn retry_period(&self) -> Duration {
        self.duration * 2 / 15
    }

    /// Who asks for it is the Lease's holder.
    fn seat(&self, client: &Client) -> Api<Lease> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    /// Holds elections for ever, and tells the terms of this replica. Every message of them is a line in the log.
    #[expect(
        clippy::infinite_loop,
        reason = "run by whoever has no election either, which has no end of its own"
    )]
    pub(crate) async fn hold(self, client: Client, terms: watch::Sender<Option<Term>>) {
        let mut watchful = Watchful::default();
        let mut last_error = String::new();
        loop {
            let asked = Instant::now();
            let patience = self.renew_deadline() / 2;
            let attempt = tokio::time::timeout(patience, self.attempt(&client, &mut watchful));
            match attempt.await {
                Ok(Ok(true)) => self.won(&terms, asked),
                Ok(Ok(false)) => self.ended(&terms, "another replica holds the Lease"),
                Ok(Err(error)) if error.to_string() != last_error => {
                    last_error = error.to_string();
                    tracing::warn!(
                        error = last_error,
                        "hold Lease {}/{}: nothing is written before; the operator must be allowed to get, create and update it",
                        self.namespace,
                        self.lease
                    );
                }
                Ok(Err(_)) | Err(_) => {}
            }
            if terms.borrow().is_some_and(|term| term.until <= Instant::now()) {
                self.ended(&terms, "it was not renewed in time");
            }
            tokio::time::sleep(self.retry_period()).await;
        }
    }

    /// A term is counted from before it was asked for: the Lease can only end later.
    fn won(&self, terms: &watch::Sender<Option<Term>>, asked: Instant) {
        let until = asked + self.renew_deadline();
        terms.send_if_modified(|term| {
            let begins = term.is_none_or(|term| term.until <= asked);
            let since = term.filter(|_| !begins).map_or(asked, |term| term.since);
            *term = Some(Term { since, until });
            if begins {
                tracing::info!(identity = self.identity, "this replica leads");
            }
            begins
        });
    }

    fn ended(&self, terms: &watch::Sender<Option<Term>>, why: &str) {
        terms.send_if_modified(|term| {
            let led = term.take().is_some();
            if led {
                tracing::warn!(
                    identity = self.identity,
                    "this replica does not lead any more: {why}"
                );
            }
            led
        });
    }

    /// Whether this replica holds the Lease after it.
    async fn attempt(&self, client: &Client, watchful: &mut Watchful) -> kube::Result<bool> {
        let seat = self.seat(client);
        let found = seat.get_opt(&self.lease).await?;
        let step = watchful.step(self, found.as_ref(), Instant::now(), Timestamp::now());
        let Step::Take(spec) = step else { return Ok(false) };
        let answer = if let Some(lease) = found {
            let lease = Lease { spec: Some(spec), ..lease };
            seat.replace(&self.lease, &PostParams::default(), &lease).await
        } else {
            let metadata = ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() };
            seat.create(&PostParams::default(), &Lease { metadata, spec: Some(spec) }).await
        };
        match answer {
            Ok(_) => Ok(true),
            // Somebody else was faster: the next attempt sees who.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives the Lease back, so that nobody waits for its end. Only after the last write.
    ///
    /// # Errors
    ///
    /// When the API server does not take it: then it runs out.
    pub async fn resign(&self, client: &Client) -> kube::Result<()> {
        let seat = self.seat(client);
        let Some(lease) = seat.get_opt(&self.lease).await? else { return Ok(()) };
        let Some(spec) = record::released(self, &lease, Timestamp::now()) else { return Ok(()) };
        let lease = Lease { spec: Some(spec), ..lease };
        seat.replace(&self.lease, &PostParams::default(), &lease).await.map(drop)
    }
}
