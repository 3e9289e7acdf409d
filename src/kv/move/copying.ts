/**
 * Brings a range's data from the source to the destination: first its histories, then what the source captured meanwhile.
 * Where to go on is written down with every import at the destination, so both functions may be called again by anybody.
 */
import type { JobRow } from '../../distribution/index.ts';
import { CAPTURE_START, decodeBookmark, encodeBookmark } from './notes.ts';
import type { BackfillPage, ImportState, SpanClient } from './types.ts';

/** What copying needs of its driver. */
export interface Copying {
  readonly spans: SpanClient;
  readonly job: JobRow;
  readonly pageBytes: number;
  /** False once the job's row has changed: somebody else goes on. */
  isOurs(): boolean;
  /** Settles when the next page may be asked for. */
  rest(): Promise<void>;
}

/**
 * - `restart`: the destination does not have what it should have; everything begins anew as another attempt.
 * - `lost`: the job is somebody else's.
 */
export type CopyTrouble = 'restart' | 'lost';

/** How far everything has come after a round. */
export interface CopiedCapture {
  /** Bytes that this round had to ship. */
  readonly bytes: number;
  /** Number of the last import at the destination. */
  readonly seq: number;
}

/** What the destination has of this job. A lifted fence is another attempt of the job, but not of the imports. */
async function importsOf({ spans, job }: Copying): Promise<ImportState | undefined> {
  const { span, imports } = await spans.job(job.dst, job.id);
  return span?.state === 'INCOMING' && imports !== undefined && imports.attempt <= job.attempt ? imports : undefined;
}

/** Imports one page. @returns what the destination has then; another bookmark than ours when another driver was faster */
async function importPage(
  { spans, job }: Copying,
  before: ImportState,
  { versions, sides = [] }: Pick<BackfillPage, 'versions' | 'sides'>,
  bookmark: Buffer,
): Promise<ImportState | undefined> {
  const { attempt } = before;
  const outcome = await spans.import(job.dst, { job: job.id, attempt, seq: before.seq + 1, bookmark, versions, sides });
  return outcome.kind === 'done' ? outcome.state : undefined;
}

/** Copies the histories of the range, as far as they are not there yet. The next page is read while one is imported. */
export async function copyHistories(copying: Copying): Promise<'done' | CopyTrouble> {
  const { spans, job, pageBytes } = copying;
  const read = (next: NonNullable<BackfillPage['next']>): Promise<BackfillPage> =>
    spans.backfill(job.src, { job: job.id, ...next, maxBytes: pageBytes });
  let imports = await importsOf(copying);
  let following: BackfillPage | undefined;
  for (;;) {
    if (imports === undefined) return 'restart';
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind === 'capture') return 'done';
    const page: BackfillPage = following ?? (await read(place.next));
    const { next } = page;
    if (!copying.isOurs()) return 'lost';
    const bookmark = encodeBookmark(
      next === undefined ? { kind: 'capture', from: CAPTURE_START } : { kind: 'backfill', next },
    );
    const before: ImportState = imports;
    [imports, following] = await Promise.all([
      importPage(copying, before, page, bookmark),
      next === undefined ? undefined : copying.rest().then(() => read(next)),
    ]);
    // What was read ahead belongs behind our page.
    if (imports?.bookmark.equals(bookmark) === false) following = undefined;
  }
}

/** Ships what the source has captured up to a moment after the call. */
export async function copyCaptured(copying: Copying): Promise<CopiedCapture | CopyTrouble> {
  const { spans, job, pageBytes } = copying;
  let imports = await importsOf(copying);
  let bytes = 0;
  for (;;) {
    if (imports === undefined) return 'restart';
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind !== 'capture') return 'restart';
    const page = await spans.captured(job.src, job.id, place.from, pageBytes);
    if (!copying.isOurs()) return 'lost';
    const { versions, sides = [] } = page;
    if (versions.length === 0 && sides.length === 0 && page.isEnd) return { bytes, seq: imports.seq };
    const bookmark = encodeBookmark({ kind: 'capture', from: page.next });
    imports = await importPage(copying, imports, page, bookmark);
    for (const { key, value } of versions) bytes += key.length + (value?.length ?? 0);
    for (const { key, name, value } of sides) bytes += key.length + name.length + (value?.length ?? 0);
    if (page.isEnd && imports?.bookmark.equals(bookmark) === true) return { bytes, seq: imports.seq };
  }
}
