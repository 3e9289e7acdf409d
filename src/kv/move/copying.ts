/**
 * Brings a range's data from the source to the destination: first its histories, then what the source captured meanwhile.
 * Where to go on is written down with every import at the destination, so both functions may be called again by anybody.
 */
import type { JobRow } from '../../distribution/index.ts';
import { assert } from '../../platform/index.ts';
import { CAPTURE_START, decodeBookmark, encodeBookmark } from './notes.ts';
import { ReadAhead } from './read-ahead.ts';
import type { BackfillPage, CapturePage, CapturePoint, ImportState, SpanClient } from './types.ts';

/** What copying needs of its driver. */
export interface Copying {
  readonly spans: SpanClient;
  readonly job: JobRow;
  readonly pageBytes: number;
  /** Pages that are read while one is imported. */
  readonly pagesAhead: number;
  /** False once the job's row has changed: somebody else goes on. */
  isOurs(): boolean;
  /** Settles when the next page may be imported. */
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
  /** What the destination has now. */
  readonly imports: ImportState;
}

/** What the destination has of this job. A lifted fence is another attempt of the job, but not of the imports. */
export async function importsOf({ spans, job }: Copying): Promise<ImportState | undefined> {
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

/** Copies the histories of the range, as far as they are not there yet. Pages are read while others are imported. */
export async function copyHistories(copying: Copying): Promise<'done' | CopyTrouble> {
  const { spans, job, pageBytes, pagesAhead } = copying;
  const readFrom = (place: NonNullable<BackfillPage['next']>) =>
    new ReadAhead(place, pagesAhead, (next: NonNullable<BackfillPage['next']>) =>
      spans.backfill(job.src, { job: job.id, ...next, maxBytes: pageBytes }),
    );
  let pages: ReturnType<typeof readFrom> | undefined;
  for (let imports = await importsOf(copying); ; ) {
    if (imports === undefined) return 'restart';
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind === 'capture') return 'done';
    pages ??= readFrom(place.next);
    const page = await pages.next();
    assert(page !== undefined, 'the last page of histories leads to the capture log');
    if (!copying.isOurs()) return 'lost';
    const { next } = page;
    const bookmark = encodeBookmark(
      next === undefined ? { kind: 'capture', from: CAPTURE_START } : { kind: 'backfill', next },
    );
    imports = await importPage(copying, imports, page, bookmark);
    // What was read ahead belongs behind our page.
    if (imports?.bookmark.equals(bookmark) === false) pages = undefined;
    await copying.rest();
  }
}

/** A page of the capture log as a link of a chain. */
interface CaptureLink {
  readonly page: CapturePage;
  readonly next: CapturePoint | undefined;
}

/**
 * Ships what the source has captured up to a moment after the call.
 * @param known what the destination has, as far as the caller knows; left out: it is asked
 * @param first the piece of the log that begins there, when the caller has it already
 */
export async function copyCaptured(
  copying: Copying,
  known?: ImportState,
  first?: CapturePage,
): Promise<CopiedCapture | CopyTrouble> {
  const { spans, job, pageBytes, pagesAhead } = copying;
  const linkOf = (page: CapturePage): CaptureLink => ({ page, next: page.isEnd ? undefined : page.next });
  const read = async (from: CapturePoint): Promise<CaptureLink> =>
    linkOf(await spans.captured(job.src, job.id, from, pageBytes));
  let given = first === undefined ? undefined : linkOf(first);
  let links: ReadAhead<CapturePoint, CaptureLink> | undefined;
  let bytes = 0;
  for (let imports = known ?? (await importsOf(copying)); ; ) {
    if (imports === undefined) return 'restart';
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind !== 'capture') return 'restart';
    let link = given;
    given = undefined;
    if (link === undefined) {
      links ??= new ReadAhead(place.from, pagesAhead, read);
      link = await links.next();
      assert(link !== undefined, 'a capture log goes on until a page says that it is the last');
    }
    if (!copying.isOurs()) return 'lost';
    const { page } = link;
    const { versions, sides = [] } = page;
    if (versions.length === 0 && sides.length === 0 && page.isEnd) return { bytes, imports };
    const bookmark = encodeBookmark({ kind: 'capture', from: page.next });
    imports = await importPage(copying, imports, page, bookmark);
    for (const { key, value } of versions) bytes += key.length + (value?.length ?? 0);
    for (const { key, name, value } of sides) bytes += key.length + name.length + (value?.length ?? 0);
    const isOurPage = imports?.bookmark.equals(bookmark) === true;
    if (page.isEnd && isOurPage && imports !== undefined) return { bytes, imports };
    if (!isOurPage) links = undefined;
  }
}
