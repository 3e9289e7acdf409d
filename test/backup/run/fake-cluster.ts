/** A cluster for backups: groups with segments of chance, stored into simulated memory by the real code. */
import { createHash } from 'node:crypto';
import {
  type BackupGroup,
  type BackupManifest,
  BackupPlace,
  type CopiedCluster,
  type PlaceKey,
  SimulatedObjects,
  uploadCopy,
  writeBackup,
} from '../../../src/backup/index.ts';
import {
  ByteRateLimit,
  type GroupId,
  groupId,
  hlcTimestamp,
  type Scheduler,
  SeededRandom,
  SystemClock,
} from '../../../src/platform/index.ts';
import { manifestOf, type SegmentEntry } from '../../../src/store/segments/manifest.ts';

const SEGMENT_BYTES = 3_000;

const hex = (at: number): string => at.toString(16).padStart(4, '0');

/** Nobody waits. */
const HASTY: Scheduler = {
  after: (_delayMs, callback) => {
    const pending = setImmediate(callback);
    return () => clearImmediate(pending);
  },
  endOfTurn: (callback) => void setImmediate(callback),
  nextTurn: (callback) => void setImmediate(callback),
};

/** See the top of the file. */
export class FakeCluster implements CopiedCluster<BackupGroup> {
  readonly store: SimulatedObjects;
  readonly random: SeededRandom;
  /** Contents of segments, by group. */
  readonly segments = new Map<GroupId, Buffer[]>();
  /** Wall clock. */
  nowMs = 1_767_000_000_000;
  key: PlaceKey = 'none';
  version = 1;
  jobs: number[] = [];
  private place: BackupPlace | undefined;
  private signal = new AbortController().signal;

  constructor(groups = 3, segmentsOfGroup = 4, seed = 11) {
    this.random = new SeededRandom(seed);
    this.store = new SimulatedObjects(HASTY, this.random);
    for (let group = 1; group <= groups; group++) {
      const contents = Array.from({ length: segmentsOfGroup }, () => this.random.bytes(SEGMENT_BYTES));
      this.segments.set(groupId(group), contents);
    }
  }

  async groups(): Promise<readonly GroupId[]> {
    return [...this.segments.keys()];
  }

  async catalog(): Promise<{ readonly version: number; readonly jobs: readonly number[] }> {
    return { version: this.version, jobs: this.jobs };
  }

  async point(group: GroupId) {
    return hlcTimestamp(BigInt(1_000 + group));
  }

  async copy(group: GroupId): Promise<BackupGroup> {
    const contents = this.segments.get(group)!;
    const entries: SegmentEntry[] = contents.map((content, at) => ({
      sha256: createHash('sha256').update(content).digest('hex'),
      bytes: content.length,
      rows: 10,
      rawBytes: content.length,
      first: hex(at * 2),
      last: hex(at * 2 + 1),
    }));
    const frames = async function* (segment: SegmentEntry): AsyncGenerator<Buffer> {
      const content = contents[entries.indexOf(segment)]!;
      for (let at = 0; at < content.length; at += 1_000) yield content.subarray(at, at + 1_000);
    };
    return uploadCopy({
      place: this.place!,
      group,
      index: 7,
      manifest: manifestOf(7, { group }, entries),
      frames,
      limit: new ByteRateLimit(new SystemClock(), HASTY, 1 << 30),
      scheduler: HASTY,
      random: this.random,
      signal: this.signal,
      onProgress: () => undefined,
    });
  }

  /** Changes one segment of a group. */
  change(group: number, at: number): void {
    this.segments.get(groupId(group))![at] = this.random.bytes(SEGMENT_BYTES);
  }

  /** Makes a backup. */
  async backUp(id: string, signal = new AbortController().signal): Promise<BackupManifest> {
    this.signal = signal;
    this.place = await BackupPlace.write(this.store, this.key, this.random);
    return writeBackup({
      place: this.place,
      id,
      facts: { createdMs: this.nowMs, version: 'test', clusterName: 'fake' },
      cluster: this,
      nowMs: () => this.nowMs,
      random: this.random,
      parallel: 2,
      signal,
    });
  }

  /** Opens the place as whoever looks at backups does. */
  read(key: PlaceKey = this.key): Promise<BackupPlace> {
    return BackupPlace.read(this.store, key, this.random);
  }
}
