/** Copies of stores in memory, as tests move them. */

import type { GroupStore, StoreImport } from '../../src/store/contract/types.ts';
import type { CopyManifest } from '../../src/store/segments/manifest.ts';

/** A copy with the frames of each segment. */
export interface Copy {
  readonly manifest: CopyManifest;
  readonly frames: readonly (readonly Buffer[])[];
}

/** Cuts a copy and reads all of it. */
export async function copyOf(store: GroupStore): Promise<Copy> {
  const cut = await store.exportSegments(() => ({}));
  try {
    const frames: Buffer[][] = [];
    for (const segment of cut.manifest.segments) {
      const pieces: Buffer[] = [];
      for await (const frame of cut.frames(segment)) pieces.push(frame);
      frames.push(pieces);
    }
    return { manifest: cut.manifest, frames };
  } finally {
    await cut.close();
  }
}

export async function* framesOf(frames: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* frames;
}

/** Brings the segments that a store does not have. */
export async function stage(store: GroupStore, copy: Copy): Promise<StoreImport> {
  const staged = await store.stageImport(copy.manifest);
  await Promise.all(staged.missing.map((at) => staged.receive(at, framesOf(copy.frames[at]!))));
  return staged;
}

/** Replaces what a store holds by a copy. */
export async function install(store: GroupStore, copy: Copy): Promise<void> {
  const staged = await stage(store, copy);
  await staged.finish();
  await staged.install();
}
