/** The program of the thread that cuts copies, see `CutThread`. */
import { parentPort } from 'node:worker_threads';
import { assert, SystemDisk, SystemRandom } from '../../platform/index.ts';
import { DataKeys, SealedDisk } from '../../security/index.ts';
import { CheckedLevel, openLentLevel } from '../level/index.ts';
import { StoreClosedError } from '../rows/index.ts';
import { SealedLevel } from '../sealed/index.ts';
import { pooledCompression } from './compression.ts';
import { InlineCutter } from './cut.ts';
import { type CutOrder, type CutReport, packFailure } from './cut-messages.ts';
import type { SegmentEntry } from './manifest.ts';

assert(parentPort !== null, 'cuts are made beside the thread that has the stores');
const port = parentPort;
const disk = new SystemDisk();
/** The database was opened, and judged, by whoever lends it. */
const allowsClear = (): boolean => true;
/** Those that are under way and wanted. */
const wanted = new Set<number>();

const report = (what: CutReport): void => port.postMessage(what);

async function cut({
  id,
  location,
  folder,
  limits,
  keys: listed,
}: CutOrder & { readonly kind: 'cut' }): Promise<SegmentEntry[]> {
  const keys = listed === undefined ? undefined : new DataKeys(listed, new SystemRandom());
  const lent = openLentLevel(location);
  const inner = keys === undefined ? lent : new SealedLevel(lent, location, { keys, allowsClear, isLent: true });
  // Whoever gave the order hears of damage from the failure.
  const level = new CheckedLevel(inner, location, () => {});
  const cutter = new InlineCutter(
    keys === undefined ? disk : new SealedDisk(disk, keys, allowsClear),
    pooledCompression,
  );
  await level.open();
  try {
    return await cutter.cut(
      { level, location, folder, limits },
      ({ appliedIndex, meta }) => report({ kind: 'state', id, appliedIndex, meta: [...meta] }),
      () => (wanted.has(id) ? undefined : new StoreClosedError(location)),
    );
  } finally {
    await level.close();
  }
}

async function obey(order: CutOrder & { readonly kind: 'cut' }): Promise<void> {
  const { id } = order;
  wanted.add(id);
  try {
    report({ kind: 'done', id, segments: await cut(order) });
  } catch (error) {
    report({ kind: 'failed', id, failure: packFailure(error) });
  } finally {
    wanted.delete(id);
  }
}

port.on('message', (order: CutOrder) => {
  if (order.kind === 'end') port.close();
  else if (order.kind === 'giveUp') wanted.delete(order.id);
  else void obey(order);
});
