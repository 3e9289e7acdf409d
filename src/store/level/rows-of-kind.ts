/** Reads that a store and the thread that cuts copies of it have in common: all rows of one kind. */
import { RowKind } from '../rows/index.ts';
import type { Level, LevelSnapshot } from './level.ts';

const ROWS_AT_ONCE = 256;

/** All rows of one kind, as of the call or of a snapshot. */
export async function* rowsOfKind(
  level: Level,
  kind: number,
  snapshot?: LevelSnapshot,
): AsyncGenerator<[Buffer, Buffer]> {
  const iterator = level.iterator({ gte: Buffer.from([kind]), lt: Buffer.from([kind + 1]), snapshot });
  try {
    for (;;) {
      const page = await iterator.nextv(ROWS_AT_ONCE);
      if (page.length === 0) return;
      yield* page;
    }
  } finally {
    await iterator.close();
  }
}

/** The small named values of a state machine, as of the call or of a snapshot. */
export async function loadMeta(level: Level, snapshot?: LevelSnapshot): Promise<Map<string, Buffer>> {
  const meta = new Map<string, Buffer>();
  for await (const [key, value] of rowsOfKind(level, RowKind.Meta, snapshot)) meta.set(key.toString('utf8', 1), value);
  return meta;
}
