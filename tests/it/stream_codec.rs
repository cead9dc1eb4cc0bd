//! Every codec against its standard tool, in both directions, and against damage.
#![cfg(test)]

use std::time::Instant;

use proptest::prelude::*;
use runner::stream::codec::{Codec, Compression, compress, decompress};
use runner::stream::{Cancel, StreamError};

use crate::stream_tools::{broken_after, damages, dump, parts, read, tool};

const CODECS: [Codec; 3] = [Codec::Zstd, Codec::Gzip, Codec::Lz4];

fn squeeze(bytes: &[u8], how: &Compression) -> Vec<u8> {
    read(compress(parts(bytes, &[200_000, 7]), how, &Cancel::new()).unwrap()).unwrap()
}

fn expand(bytes: &[u8], codec: Codec) -> Result<Vec<u8>, StreamError> {
    read(decompress(parts(bytes, &[100_000, 3]), codec)?)
}

fn by_tool(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, String> {
    match codec {
        Codec::Zstd => tool("zstd", &["-dc"], bytes),
        Codec::Gzip => tool("gunzip", &["-c"], bytes),
        Codec::Lz4 => tool("lz4", &["-dc"], bytes),
    }
}

fn settings() -> Vec<Compression> {
    let mut all = Vec::new();
    for codec in CODECS {
        for level in [*codec.levels().start(), codec.default_level(), *codec.levels().end()] {
            for threads in [1, 2, 4] {
                all.push(Compression { codec, level, threads, long_window: None });
            }
        }
    }
    all.push(Compression { codec: Codec::Zstd, level: 3, threads: 2, long_window: Some(27) });
    all
}

#[test]
fn standard_tools_read_what_is_compressed_here_at_every_setting() {
    let whole = dump(1_500_000);
    for how in settings() {
        let squeezed = squeeze(&whole, &how);
        assert!(squeezed.len() < whole.len() / 2 + 200_000, "{how:?}: {}", squeezed.len());
        assert!(by_tool(how.codec, &squeezed).unwrap() == whole, "{how:?}");
        assert!(expand(&squeezed, how.codec).unwrap() == whole, "{how:?}");
    }
}

#[test]
fn small_and_block_sized_inputs_are_whole() {
    for codec in CODECS {
        for size in [0, 1, 32 * 1024, 512 * 1024 - 1, 512 * 1024, 512 * 1024 + 1, 1024 * 1024] {
            for threads in [1, 3] {
                let (whole, how) = (dump(size), Compression { threads, ..Compression::new(codec) });
                let squeezed = squeeze(&whole, &how);
                assert!(by_tool(codec, &squeezed).unwrap() == whole, "{codec:?} {size} {threads}");
                assert!(expand(&squeezed, codec).unwrap() == whole, "{codec:?} {size} {threads}");
            }
        }
    }
}

#[test]
fn what_standard_tools_compress_is_read_here_also_in_several_frames() {
    let (one, two) = (dump(900_000), dump(70_000));
    for (codec, program, args) in [
        (Codec::Zstd, "zstd", &["-c", "-T2"][..]),
        (Codec::Zstd, "zstd", &["-c", "--long=27", "--no-check"]),
        (Codec::Gzip, "gzip", &["-c9"]),
        (Codec::Lz4, "lz4", &["-c"]),
        (Codec::Lz4, "lz4", &["-c", "-9", "-B4", "-BD", "-BX"]),
    ] {
        let mut squeezed = tool(program, args, &one).unwrap();
        assert!(expand(&squeezed, codec).unwrap() == one, "{program} {args:?}");
        squeezed.extend(tool(program, args, &two).unwrap());
        assert!(expand(&squeezed, codec).unwrap() == [&one[..], &two[..]].concat(), "{program} {args:?}, twice");
    }
}

#[test]
fn damage_of_any_kind_is_noticed() {
    let whole = dump(700_000);
    for codec in CODECS {
        let squeezed = squeeze(&whole, &Compression::new(codec));
        for (what, damaged) in damages(&squeezed) {
            let result = expand(&damaged, codec);
            // A flag in gzip's header (its time, its system) is no content: the same bytes come out.
            let harmless = codec == Codec::Gzip && result.as_ref().is_ok_and(|bytes| *bytes == whole);
            let noticed = matches!(&result, Err(StreamError::Corrupt { layer, .. }) if layer == codec.name());
            assert!(noticed || harmless, "{codec:?}, {what}: {:?}", result.map(|bytes| bytes.len()));
        }
    }
}

#[test]
fn an_empty_input_is_no_compressed_stream() {
    for codec in CODECS {
        assert!(matches!(expand(b"", codec), Err(StreamError::Corrupt { .. })), "{codec:?}");
    }
}

#[test]
fn an_error_of_the_input_comes_through_both_ways() {
    for codec in CODECS {
        for threads in [1, 2] {
            let how = Compression { threads, ..Compression::new(codec) };
            let squeezed = squeeze(&dump(600_000), &how);
            let error = read(compress(broken_after(&dump(900_000)), &how, &Cancel::new()).unwrap()).unwrap_err();
            assert_eq!(error.to_string(), "test: the source broke", "{codec:?}");
            let error = read(decompress(broken_after(&squeezed[..5000]), codec).unwrap()).unwrap_err();
            assert_eq!(error.to_string(), "test: the source broke", "{codec:?}");
        }
    }
}

#[test]
fn a_frame_that_wants_too_much_memory_is_refused() {
    let squeezed = tool("zstd", &["-c", "--ultra", "-1", "--long=31", "--no-content-size"], &dump(1_000_000)).unwrap();
    let error = expand(&squeezed, Codec::Zstd).unwrap_err();
    assert!(error.to_string().contains("too much memory"), "{error}");
}

#[test]
fn a_cancelled_compression_stops() {
    let cancel = Cancel::new();
    cancel.cancel("SIGINT", false);
    let stream = compress(parts(&dump(1000), &[10]), &Compression::new(Codec::Zstd), &cancel).unwrap();
    assert_eq!(read(stream).unwrap_err().to_string(), "cancelled: SIGINT");
}

#[test]
fn several_gzip_threads_share_the_work() {
    let whole = dump(24_000_000);
    let timed = |threads| {
        let begun = Instant::now();
        let squeezed = squeeze(&whole, &Compression { threads, ..Compression::new(Codec::Gzip) });
        (begun.elapsed(), squeezed)
    };
    // Other work on the machine may hit one of the two.
    let faster = (0..5).any(|_| {
        let ((one, alone), (two, shared)) = (timed(1), timed(2));
        assert!(alone == shared, "the same blocks give the same bytes");
        two < one
    });
    assert!(faster, "two threads were never faster than one");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn chunk_boundaries_never_matter(
        size in 0_usize..1_300_000,
        there in prop::collection::vec(1_usize..400_000, 1..6),
        back in prop::collection::vec(1_usize..90_000, 1..6),
        codec in prop::sample::select(&CODECS[..]),
        threads in 1_u32..4,
    ) {
        let whole = dump(size);
        let how = Compression { threads, ..Compression::new(codec) };
        let squeezed = read(compress(parts(&whole, &there), &how, &Cancel::new()).unwrap()).unwrap();
        let again = read(decompress(parts(&squeezed, &back), codec).unwrap()).unwrap();
        prop_assert!(again == whole);
    }
}
