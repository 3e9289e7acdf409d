/**
 * Segments on their way in, in a folder beside the store. Each is written under a name of its own, proven against its hash,
 * made stable and only then named for it; so whatever has its name is whole, and a transfer that broke goes on with
 * what is missing, after a restart too.
 */
import { createHash } from 'node:crypto';
import type { Disk } from '../../platform/index.ts';
import { CorruptSnapshotError } from '../rows/index.ts';
import { type SegmentEntry, segmentName } from './manifest.ts';

const PART = '.part';

/** See the top of the file. */
export class SegmentFolder {
  private readonly disk: Disk;
  private readonly folder: string;
  private parts = 0;

  constructor(disk: Disk, folder: string) {
    this.disk = disk;
    this.folder = folder;
  }

  pathOf(segment: SegmentEntry): string {
    return `${this.folder}/${segmentName(segment)}`;
  }

  /**
   * Makes room for a copy: what belongs to another one, or was cut off, is deleted.
   * @returns numbers of the segments that are not here
   */
  async prepare(segments: readonly SegmentEntry[]): Promise<number[]> {
    await this.disk.makeFolder(this.folder);
    const wanted = new Set(segments.map(segmentName));
    const here = new Set<string>();
    for (const name of await this.disk.list(this.folder)) {
      if (wanted.has(name)) here.add(name);
      else await this.disk.remove(`${this.folder}/${name}`);
    }
    await this.disk.syncFolder(this.folder);
    return segments.flatMap((segment, at) => (here.has(segmentName(segment)) ? [] : [at]));
  }

  /**
   * Takes one segment in; stable when it settles.
   * @throws CorruptSnapshotError when the bytes are not those of the segment
   */
  async receive(segment: SegmentEntry, frames: AsyncIterable<Buffer>): Promise<void> {
    const path = `${this.folder}/${this.parts++}${PART}`;
    const hash = createHash('sha256');
    const file = await this.disk.open(path, { create: true });
    let isOpen = true;
    try {
      let bytes = 0;
      for await (const frame of frames) {
        if (bytes + frame.length > segment.bytes) {
          throw new CorruptSnapshotError(`segment ${segment.sha256} came with more than its ${segment.bytes} bytes`);
        }
        hash.update(frame);
        await file.write(frame, bytes);
        bytes += frame.length;
      }
      if (bytes !== segment.bytes || hash.digest('hex') !== segment.sha256) {
        throw new CorruptSnapshotError(
          `segment ${segment.sha256} came damaged or cut: ${bytes} of ${segment.bytes} bytes`,
        );
      }
      await file.sync();
      isOpen = false;
      await file.close();
      await this.disk.rename(path, this.pathOf(segment));
      await this.disk.syncFolder(this.folder);
    } catch (error) {
      if (isOpen) await file.close().catch(() => {});
      await this.disk.remove(path).catch(() => {});
      throw error;
    }
  }

  /** Forgets one, because it turned out to be damaged. */
  async forget(segment: SegmentEntry): Promise<void> {
    await this.disk.remove(this.pathOf(segment));
  }

  /** Deletes everything. */
  async clear(): Promise<void> {
    await this.disk.remove(this.folder);
  }
}
