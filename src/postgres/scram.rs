//! The exchange by which a client proves its password.

use labhouse_policies::Principal;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::Door;
use super::answer::Answer;
use super::errors::fatal;
use super::login::{NoLogin, shown};
use super::wire::{self, Inbox};
use crate::auth::AuthError;
use crate::auth::scram::{Challenge, Exchange, MECHANISM, ScramError};

/// Whom the proof logs in, or why there is no login that counts as one that failed.
///
/// # Errors
/// What is no exchange ends the connection; no password was tried.
pub(super) async fn prove<R, W>(
    door: &Door,
    inbox: &mut Inbox<R>,
    write: &mut W,
    mut answer: Answer,
    user: &str,
    challenge: &Challenge,
) -> Result<Result<Principal, AuthError>, NoLogin>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let auth = &door.engine.auth;
    answer.ask_proof(MECHANISM);
    write.write_all(&answer.take()).await?;
    let (mechanism, message) = wire::first_proof(shown(inbox).await?)?;
    if mechanism != MECHANISM {
        return Err(fatal("08P01", format!("the mechanism is {MECHANISM}, and another was chosen")).into());
    }
    let exchange = Exchange::begin(challenge, &message).map_err(malformed)?;
    answer.go_on(exchange.challenge());
    write.write_all(&answer.take()).await?;
    let proof = match exchange.proof(&shown(inbox).await?) {
        Ok(proof) => proof,
        // One that was kept from another exchange is a try like a wrong password.
        Err(ScramError::Foreign) => return Ok(Err(auth.failed(user))),
        Err(error @ ScramError::Malformed(_)) => return Err(malformed(error)),
    };
    let (who, signed) = match auth.proven(user, &proof) {
        Ok(found) => found,
        Err(refused) => return Ok(Err(refused)),
    };
    answer.proven(&signed);
    write.write_all(&answer.take()).await?;
    Ok(Ok(who))
}

fn malformed(error: ScramError) -> NoLogin {
    NoLogin::Refused(fatal("08P01", error.to_string()))
}
