/** Copies of a `MemoryStore`: one segment that holds the image as text, cut, brought and proven as the real ones are. */
import { createHash } from 'node:crypto';
import type { LogIndex } from '../../src/platform/index.ts';
import type { ImportedCopy, StoreImport } from '../../src/store/contract/types.ts';
import { CorruptSnapshotError } from '../../src/store/rows/errors.ts';
import type { MetaOf, StoreCut } from '../../src/store/segments/cut.ts';
import { type CopyFacts, type CopyManifest, manifestOf, type SegmentEntry } from '../../src/store/segments/manifest.ts';
import { decodeImage, encodeImage, type Image } from './memory-image.ts';

/** Small, so that a copy has several frames. */
const FRAME_BYTES = 1000;

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

/** A copy of an image as it is now. */
export function cutImage(image: Image, describe: (meta: MetaOf, appliedIndex: LogIndex) => CopyFacts): StoreCut {
  const bytes = encodeImage(image);
  const { appliedIndex } = image;
  const meta = new Map(image.meta);
  const segment: SegmentEntry = {
    sha256: hashOf(bytes),
    bytes: bytes.length,
    rows: 1,
    rawBytes: bytes.length,
    first: '00',
    last: 'ff',
  };
  return {
    manifest: manifestOf(
      appliedIndex,
      describe((name) => meta.get(name), appliedIndex),
      [segment],
    ),
    pathOf: () => 'memory',
    async *frames() {
      for (let at = 0; at < bytes.length; at += FRAME_BYTES) yield bytes.subarray(at, at + FRAME_BYTES);
    },
    close: async () => undefined,
  };
}

type Phase = 'receiving' | 'finished' | 'closed';

/** A copy on its way into a `MemoryStore`. */
export class StagedImage implements StoreImport {
  readonly missing: readonly number[];
  private readonly manifest: CopyManifest;
  private readonly received: Map<string, Buffer>;
  private readonly adopt: (image: Image) => void;
  private phase: Phase = 'receiving';
  private image: Image | undefined;

  /** @param received segments that came whole, by hash; outlives the attempt */
  constructor(manifest: CopyManifest, received: Map<string, Buffer>, adopt: (image: Image) => void) {
    this.manifest = manifest;
    this.received = received;
    this.adopt = adopt;
    this.missing = [...manifest.segments.keys()].filter((at) => !received.has(manifest.segments[at]!.sha256));
  }

  private expectPhase(phase: Phase): void {
    if (this.phase !== phase) throw new CorruptSnapshotError(`a copy that is ${this.phase} cannot be used like this`);
  }

  async receive(at: number, frames: AsyncIterable<Buffer>): Promise<void> {
    this.expectPhase('receiving');
    const segment = this.manifest.segments[at];
    if (segment === undefined) throw new CorruptSnapshotError(`a copy has no segment ${at}`);
    const pieces: Buffer[] = [];
    for await (const frame of frames) pieces.push(frame);
    const bytes = Buffer.concat(pieces);
    if (hashOf(bytes) !== segment.sha256) throw new CorruptSnapshotError(`segment ${at} is damaged`);
    this.received.set(segment.sha256, bytes);
  }

  async finish(): Promise<ImportedCopy> {
    this.expectPhase('receiving');
    const pieces = this.manifest.segments.map(({ sha256 }, at) => {
      const bytes = this.received.get(sha256);
      if (bytes === undefined) throw new CorruptSnapshotError(`segment ${at} did not come`);
      return bytes;
    });
    const image = decodeImage(Buffer.concat(pieces));
    const { appliedIndex } = this.manifest;
    if (image.appliedIndex !== appliedIndex) {
      throw new CorruptSnapshotError(`a copy of index ${appliedIndex} holds the state of index ${image.appliedIndex}`);
    }
    this.phase = 'finished';
    this.image = image;
    return { appliedIndex, meta: (name) => image.meta.get(name) };
  }

  async install(): Promise<void> {
    this.expectPhase('finished');
    this.phase = 'closed';
    this.adopt(this.image!);
    this.received.clear();
  }

  async discard(): Promise<void> {
    this.phase = 'closed';
  }
}
