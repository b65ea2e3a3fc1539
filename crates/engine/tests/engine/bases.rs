//! Images that show a file wherever they were never written.
use crate::clones::{client, named, open};
use crate::common::{BLOCK, Client, MIB, content, kind, pattern, read, settings, silent};
use lsd_engine::{
    CreateOptions, ErrorKind, Extent, Fault, Image, ImageRef, OpenOptions, RepairOptions, Settings, Severity,
};
use lsd_store::{BaseSpec, FileBase, MemoryCluster, ObjectStore};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file, and an image `disk` of `size` bytes over it.
struct Over {
    _dir: tempfile::TempDir,
    path: PathBuf,
    cluster: MemoryCluster,
    store: Arc<dyn ObjectStore>,
}

impl Over {
    /// To who opens the image now.
    async fn shows(&self, model: &[u8]) {
        let image = open(&self.store, "disk").await;
        expect(&image, model).await;
        image.close().await.unwrap();
    }
}

async fn over(bytes: &[u8], size: u64) -> Over {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.raw");
    std::fs::write(&path, bytes).unwrap();
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    create_over(&store, "disk", size, &FileBase::look_at(&path).await.unwrap()).await;
    Over { _dir: dir, path, cluster, store }
}

async fn create_over(store: &Arc<dyn ObjectStore>, name: &str, size: u64, base: &BaseSpec) {
    let options = CreateOptions { size, ..CreateOptions::default() };
    Image::create_over(store, name, &options, base).await.unwrap();
}

/// What the file has: no zeroes, but in one part of it.
fn bytes_of_base(len: u64) -> Vec<u8> {
    let mut bytes = pattern(7, len as usize).to_vec();
    bytes[3 * MIB as usize..4 * MIB as usize].fill(0);
    bytes
}

async fn expect(image: &Image, model: &[u8]) {
    assert_eq!(image.size(), model.len() as u64);
    for (index, expected) in model.chunks(MIB as usize).enumerate() {
        let start = index as u64 * MIB;
        let found = read(image, start, expected.len() as u64).await;
        if let Some(at) = found.iter().zip(expected).position(|(found, expected)| found != expected) {
            panic!("byte {} is {} and should be {}", start + at as u64, found[at], expected[at]);
        }
    }
}

async fn check_clean(store: &Arc<dyn ObjectStore>) {
    let report = Image::check(store, &named("disk"), &silent).await.unwrap();
    let worse = report.findings.iter().filter(|finding| finding.fault.severity() > Severity::Note);
    assert_eq!(worse.collect::<Vec<_>>(), Vec::<&lsd_engine::Finding>::new());
}

#[tokio::test(start_paused = true)]
async fn what_was_never_written_is_the_bases() {
    let mut model = bytes_of_base(5 * MIB + 1000);
    let over = over(&model, 8 * MIB).await;
    model.resize(8 * MIB as usize, 0);
    let image = open(&over.store, "disk").await;
    expect(&image, &model).await;
    // A part of a block, across the end of the base; a discard and zeroes, which hide it.
    for (offset, len) in [(100, 50), (5 * MIB + 900, 300), (2 * MIB - 3000, 7000)] {
        let data = pattern(offset, len);
        image.write(offset, data.clone(), false).await.unwrap();
        model[offset as usize..offset as usize + len].copy_from_slice(&data);
    }
    image.discard(MIB, 10_000, false).await.unwrap();
    model[MIB as usize..MIB as usize + 10_000].fill(0);
    image.write_zeroes(4 * MIB + 5, 3, false, false).await.unwrap();
    model[4 * MIB as usize + 5..4 * MIB as usize + 8].fill(0);
    image.flush().await.unwrap();
    expect(&image, &model).await;
    assert_eq!(image.used_bytes(), 50 + 300 + 7000);
    assert_eq!(image.base().map(|base| base.overlap), Some(5 * MIB + 1000));
    // Comparing and sparsifying look at what is shown.
    image.compare_and_write(9000, model[9000..9100].to_vec().into(), pattern(3, 100)).await.unwrap();
    model[9000..9100].copy_from_slice(&pattern(3, 100));
    image.sparsify(BLOCK, &silent).await.unwrap();
    expect(&image, &model).await;
    drop(image);
    for _ in 0..2 {
        over.shows(&model).await;
    }
    check_clean(&over.store).await;
}

#[tokio::test(start_paused = true)]
async fn what_the_base_has_counts_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("base.raw");
    let file = std::fs::File::create(&path).unwrap();
    file.set_len(64 * MIB).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[5; MIB as usize], 20 * MIB).unwrap();
    file.sync_all().unwrap();
    let cluster = MemoryCluster::new();
    let store = client(&cluster);
    create_over(&store, "disk", 80 * MIB, &FileBase::look_at(&path).await.unwrap()).await;
    let image = open(&store, "disk").await;
    image.write(70 * MIB, content(1), false).await.unwrap();
    image.discard(20 * MIB, MIB / 2, false).await.unwrap();
    let data = |found: Vec<Extent>| -> Vec<(u64, u64)> {
        found.iter().filter(|extent| extent.data).map(|extent| (extent.offset, extent.len)).collect()
    };
    let expected = vec![(20 * MIB + MIB / 2, MIB / 2), (70 * MIB, BLOCK)];
    let found = image.extents(0, 80 * MIB).await.unwrap();
    assert_eq!(found.iter().map(|extent| extent.len).sum::<u64>(), 80 * MIB);
    assert_eq!(data(found), expected);
    let mut changed = Vec::new();
    let mut each = |extent| {
        changed.push(extent);
        Ok(())
    };
    image.changes(None, 0, 80 * MIB, &mut each).await.unwrap();
    assert_eq!(data(changed), expected);
    image.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_shrink_cut_off_does_not_come_back() {
    let model = bytes_of_base(8 * MIB);
    let over = over(&model, 8 * MIB).await;
    let image = open(&over.store, "disk").await;
    let reader = {
        let options = OpenOptions { read_only: true, settings: settings(), ..OpenOptions::default() };
        Image::open(&client(&over.cluster), &named("disk"), &options).await.unwrap()
    };
    expect(&reader, &model).await;
    image.discard(7 * MIB, MIB, false).await.unwrap();
    image.resize(2 * MIB + 100, true, &silent).await.unwrap();
    image.resize(8 * MIB, false, &silent).await.unwrap();
    assert_eq!(image.base().map(|base| base.overlap), Some(2 * MIB + 100));
    let mut expected = model[..2 * MIB as usize + 100].to_vec();
    expected.resize(8 * MIB as usize, 0);
    expect(&image, &expected).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    expect(&reader, &expected).await;
    drop(image);
    over.shows(&expected).await;
}

#[tokio::test(start_paused = true)]
async fn a_flattened_image_needs_its_base_no_more() {
    let mut model = bytes_of_base(9 * MIB + 77);
    let over = over(&model, 9 * MIB + 77).await;
    let image = open(&over.store, "disk").await;
    image.write(MIB - 10, content(3), false).await.unwrap();
    model[MIB as usize - 10..MIB as usize - 10 + BLOCK as usize].copy_from_slice(&content(3));
    image.discard(6 * MIB, 5000, false).await.unwrap();
    model[6 * MIB as usize..6 * MIB as usize + 5000].fill(0);
    let refused = image.snapshots().create("early").await;
    assert_eq!(kind(refused), Some(ErrorKind::Unsupported));
    image.flatten(&silent).await.unwrap();
    assert_eq!(image.base(), None);
    std::fs::remove_file(&over.path).unwrap();
    expect(&image, &model).await;
    // The part of the base that is zeroes was not copied.
    assert!(image.used_bytes() < 9 * MIB - MIB / 2, "{}", image.used_bytes());
    assert_eq!(kind(image.flatten(&silent).await), Some(ErrorKind::Invalid));
    image.snapshots().create("late").await.unwrap();
    image.write(0, content(9), false).await.unwrap();
    image.snapshots().rollback("late").await.unwrap();
    expect(&image, &model).await;
    image.snapshots().remove("late").await.unwrap();
    drop(image);
    over.shows(&model).await;
    check_clean(&over.store).await;
}

/// Wherever it is cut off, what is shown stays the same, and it can be taken up again.
#[tokio::test(start_paused = true)]
async fn a_flatten_that_is_cut_off_loses_nothing() {
    let model = bytes_of_base(70 * MIB);
    let over = over(&model, 70 * MIB).await;
    for stop in 0..3 {
        let client = Client::open(&over.cluster, settings()).await;
        let seen = std::sync::atomic::AtomicU64::new(0);
        let cancel = |_, _| match seen.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            calls if calls == stop => Err(lsd_engine::Error::new(ErrorKind::Canceled, "enough")),
            _ => Ok(()),
        };
        let cut = client.image.flatten(&cancel).await;
        assert_eq!(kind(cut), Some(ErrorKind::Canceled), "{stop}");
        assert!(client.image.base().is_some());
        expect(&client.image, &model).await;
        if stop % 2 == 0 {
            client.crash(&over.cluster);
        } else {
            client.image.close().await.unwrap();
        }
    }
    let image = open(&over.store, "disk").await;
    expect(&image, &model).await;
    image.flatten(&silent).await.unwrap();
    std::fs::remove_file(&over.path).unwrap();
    drop(image);
    over.shows(&model).await;
    check_clean(&over.store).await;
}

/// As the client of a guest asks it of the guest's.
#[tokio::test(start_paused = true)]
async fn the_owner_flattens_for_another_client() {
    let model = bytes_of_base(6 * MIB);
    let over = over(&model, 6 * MIB).await;
    let guest = open(&over.store, "disk").await;
    guest.write(0, content(1), true).await.unwrap();
    let other = open(&client(&over.cluster), "disk").await;
    other.flatten(&silent).await.unwrap();
    assert_eq!((guest.base(), other.base()), (None, None));
    guest.write(BLOCK, content(2), true).await.unwrap();
    let mut expected = [content(1), content(2)].concat();
    expected.extend_from_slice(&model[2 * BLOCK as usize..]);
    std::fs::remove_file(&over.path).unwrap();
    expect(&guest, &expected).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    expect(&other, &expected).await;
    guest.close().await.unwrap();
    other.close().await.unwrap();
}

fn touch(path: &Path) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(5);
    std::fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_base_that_changed_is_an_error_and_never_zeroes() {
    let model = bytes_of_base(6 * MIB);
    let over = over(&model, 6 * MIB).await;
    let image = open(&over.store, "disk").await;
    image.write(0, content(1), true).await.unwrap();
    touch(&over.path);
    assert_eq!(kind(image.read(MIB, 10).await), Some(ErrorKind::Corrupt));
    assert_eq!(kind(image.extents(0, 6 * MIB).await), Some(ErrorKind::Corrupt));
    assert_eq!(kind(image.flatten(&silent).await), Some(ErrorKind::Corrupt));
    assert_eq!(read(&image, 0, BLOCK).await, content(1), "what was written needs no base");
    image.close().await.unwrap();
    let options = || OpenOptions { settings: settings(), ..OpenOptions::default() };
    let error = Image::open(&over.store, &named("disk"), &options()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt);
    assert!(error.to_string().contains("base.raw") && error.to_string().contains("modified"), "{error}");
    let faults = || async {
        let report = Image::check(&over.store, &named("disk"), &silent).await.unwrap();
        report.findings.into_iter().map(|finding| finding.fault).collect::<Vec<_>>()
    };
    assert!(matches!(&faults().await[..], [Fault::BaseLost { .. }]));
    std::fs::remove_file(&over.path).unwrap();
    let error = Image::open(&over.store, &named("disk"), &options()).await.err().unwrap();
    assert_eq!(error.kind, ErrorKind::Corrupt, "not as if there were no such image: {error}");
    assert!(matches!(&faults().await[..], [Fault::BaseLost { .. }]));
    // It can be removed all the same.
    Image::remove(&over.store, &named("disk"), &silent).await.unwrap();
}

/// A leaf that is given up is zeroes, and not what the base has there.
#[tokio::test(start_paused = true)]
async fn what_a_repair_gives_up_does_not_become_the_bases() {
    let model = bytes_of_base(40 * MIB);
    let over = over(&model, 40 * MIB).await;
    let image = open(&over.store, "disk").await;
    image.write(17 * MIB, content(1), true).await.unwrap();
    image.close().await.unwrap();
    let pages = over.store.list("lsd_map.").await.unwrap();
    let page = pages.into_iter().min().unwrap();
    let len = over.store.stat(&page).await.unwrap();
    let mut bytes = over.store.read(&page, 0, len).await.unwrap().to_vec();
    let at = bytes.windows(4).position(|window| window == b"LSDL").unwrap();
    bytes[at + 22] ^= 1;
    over.store.remove(&page).await.unwrap();
    over.store.put(&page, bytes.into()).await.unwrap();
    let options = RepairOptions { discard_damaged: true, ..RepairOptions::default() };
    Image::repair(&over.store, &ImageRef::Name("disk".into()), options, &silent).await.unwrap();
    let image = open(&over.store, "disk").await;
    let mut expected = model.clone();
    expected[16 * MIB as usize..32 * MIB as usize].fill(0);
    expect(&image, &expected).await;
    image.close().await.unwrap();
}

/// Whatever is done to it, and however it ends, the image is what an array of bytes says.
async fn run(seed: u64, settings: Settings) {
    const SIZE: u64 = 24 * MIB;
    let mut model = bytes_of_base(SIZE - 3 * MIB - 100);
    let over = over(&model, SIZE).await;
    model.resize(SIZE as usize, 0);
    let mut random = StdRng::seed_from_u64(seed);
    for round in 0..6 {
        let client = Client::open(&over.cluster, settings.clone()).await;
        expect(&client.image, &model).await;
        for _ in 0..60 {
            change(&client.image, &mut model, &mut random).await;
        }
        if round == 3 {
            let size = random.random_range(12 * MIB..18 * MIB);
            client.image.resize(size, true, &silent).await.unwrap();
            client.image.resize(SIZE, false, &silent).await.unwrap();
            model[size as usize..].fill(0);
        }
        if round == 2 || round == 5 {
            let cut = |done: u64, total: u64| match round == 2 && done * 2 > total {
                true => Err(lsd_engine::Error::new(ErrorKind::Canceled, "enough")),
                false => Ok(()),
            };
            let flattening = client.image.clone();
            let (flattened, ()) = tokio::join!(async { flattening.flatten(&cut).await }, async {
                for _ in 0..40 {
                    change(&client.image, &mut model, &mut random).await;
                    tokio::task::yield_now().await;
                }
            });
            assert!(matches!(kind(flattened), None | Some(ErrorKind::Canceled)));
        }
        client.image.collect(&silent).await.unwrap();
        expect(&client.image, &model).await;
        if round % 2 == 0 {
            client.image.close().await.unwrap();
        } else {
            client.image.flush().await.unwrap();
            client.crash(&over.cluster);
        }
    }
    std::fs::remove_file(&over.path).unwrap();
    over.shows(&model).await;
    check_clean(&over.store).await;
}

async fn change(image: &Image, model: &mut [u8], random: &mut StdRng) {
    let len = match random.random_range(0..10) {
        0 => random.random_range(1..2 * MIB),
        1..4 => random.random_range(1..20_000),
        _ => BLOCK,
    };
    let mut offset = random.random_range(0..model.len() as u64 - len);
    if random.random_bool(0.6) {
        offset -= offset % BLOCK;
    }
    let range = offset as usize..(offset + len) as usize;
    match random.random_range(0..6) {
        0 => image.discard(offset, len, false).await.unwrap(),
        1 => image.write_zeroes(offset, len, false, false).await.unwrap(),
        _ => {
            let data = pattern(random.random(), len as usize);
            image.write(offset, data.clone(), random.random_bool(0.05)).await.unwrap();
            return model[range].copy_from_slice(&data);
        }
    }
    model[range].fill(0);
}

#[tokio::test(start_paused = true)]
async fn an_image_over_a_base_is_an_array_of_bytes() {
    run(1, settings()).await;
}

#[tokio::test(start_paused = true)]
async fn also_with_a_map_that_does_not_fit_its_memory() {
    run(2, Settings { map_cache_bytes: 0, cache_bytes: 0, ..settings() }).await;
}
