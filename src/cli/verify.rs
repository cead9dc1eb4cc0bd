//! `runner verify`: proves a restore point that there is, as the pipeline's own verification would.

use super::args::VerifyArgs;
use super::exit::Exit;
use super::output::{Output, Problem};
use super::plan as planning;
use super::point::{Meant, named};
use super::run::carry_out;
use crate::ids::StepId;
use crate::pipeline::Pipeline;
use crate::step::{Params, VerifyRestore};

pub(super) fn run(args: &VerifyArgs, output: &Output) -> Result<Exit, Problem> {
    let pipeline = drill(args)?;
    let plans = planning::observed(&[pipeline], false)?;
    plans.iter().try_fold(Exit::Done, |exit, plan| Ok(exit.worse(carry_out(plan, &args.run, output, |_| Ok(()))?)))
}

/// The pipeline's own verification of that point; a plain one where it has none.
fn drill(args: &VerifyArgs) -> Result<Pipeline, Problem> {
    let meant = Meant::by(&args.point)?;
    let (id, own) = match meant.verification() {
        Some((id, verify)) => (id.clone(), verify.clone()),
        None => (named::<StepId>("verify")?, VerifyRestore::default()),
    };
    let verify = VerifyRestore {
        of: None,
        from: meant.point.clone(),
        identity: meant.identity.clone(),
        passphrase: meant.passphrase.clone(),
        jobs: args.jobs.or(own.jobs),
        prove: args.prove.unwrap_or(own.prove),
        ..own
    };
    meant.frame("verify", vec![(id, Params::VerifyRestore(verify))], Vec::new())
}
