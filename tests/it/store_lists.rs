//! Listings of a real S3 server that come in strange parts: all of a listing, or an error, and an end in any case.

use runner::store::s3::S3Store;
use runner::store::{ObjectStore as _, PutOptions, StoreError};

use crate::servers::faulty_s3::{Fault, FaultyS3, rule};
use crate::servers::seaweed::{Client, S3Server, spec};

const ALWAYS: u32 = u32::MAX;
const LISTS: &str = "list-type=2";

/// A part without an object, after which more is promised.
const EMPTY: &str = "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>!</NextContinuationToken></ListBucketResult>";
const NO_TOKEN: &str = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
const CUT: &str = "<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>";

#[test]
fn a_listing_in_strange_parts_is_all_of_it_or_an_error() {
    let (server, client) = (S3Server::seaweed(), Client::new());
    let direct = client.store(&spec(&server.endpoint()));
    for key in ["주문/가", "주문/나", "회계/가"] {
        direct.put_bytes(key, key.as_bytes(), &PutOptions::default()).unwrap();
    }
    let whole = direct.list("").unwrap();
    assert_eq!(whole.len(), 3);
    let list = |times, fault| {
        let proxy = FaultyS3::before(server.address, vec![rule("GET", LISTS, times, fault)]);
        let store: S3Store = client.store(&spec(&proxy.endpoint()));
        (store.list(""), proxy.seen(LISTS))
    };
    let (found, asked) = list(1, Fault::Say(EMPTY));
    assert_eq!((found.unwrap(), asked), (whole.clone(), 2), "an empty part is not the end");
    for (fault, times, words) in
        [(Fault::Say(EMPTY), ALWAYS, "goes round in a circle"), (Fault::Say(NO_TOKEN), ALWAYS, "ends in the middle")]
    {
        let (found, asked) = list(times, fault);
        let error = found.unwrap_err();
        assert!(
            matches!(&error, StoreError::Lies { store, .. } if store.contains("s3://")) && error.to_string().contains(words),
            "{error}"
        );
        assert!(asked <= 2, "asked {asked} times");
    }
    // One that breaks off is asked for again, and is never all there is.
    let (found, asked) = list(2, Fault::Say(CUT));
    assert_eq!((found.unwrap(), asked), (whole, 3));
    let (found, asked) = list(ALWAYS, Fault::Say(CUT));
    let error = found.unwrap_err();
    assert!(error.transient() && asked == 3, "{error}");
    assert!(error.to_string().starts_with("s3://backups/팀/백업: listing") && error.to_string().contains("breaks off"), "{error}");
}
