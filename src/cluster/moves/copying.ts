/**
 * Brings a range's data from the source to the destination: first its histories, then what the source captured meanwhile.
 * Where to go on is written down with every import at the destination, so both functions may be called again by anybody.
 */
import type { JobRow } from '../../distribution/index.ts';
import type { BackfillPage, CapturePage, CapturePoint, ImportState, SpanClient } from '../../kv/index.ts';
import { assert } from '../../platform/index.ts';
import { CAPTURE_START, decodeBookmark, encodeBookmark } from './notes.ts';
import { ReadAhead } from './read-ahead.ts';

/** What copying needs of its driver. */
export interface Copying {
  readonly spans: SpanClient;
  readonly job: JobRow;
  readonly pageBytes: number;
  /** Pages that are read while others are imported. */
  readonly pagesAhead: number;
  /** Imports that are under way at a time. */
  readonly importsAhead: number;
  /** False once the job's row has changed: somebody else goes on. */
  isOurs(): boolean;
  /** Settles when the next page of histories may be imported. */
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

/** A page on its way from the source to the destination. */
interface Link {
  readonly page: Pick<BackfillPage, 'versions' | 'sides'>;
  /** Where to go on when it is there. */
  readonly bookmark: Buffer;
  readonly isLast: boolean;
}

/** An import that was sent, and what the destination has with it; undefined when it refused it. */
interface Sent {
  readonly bookmark: Buffer;
  readonly outcome: Promise<ImportState | undefined>;
}

/**
 * Imports pages one behind the other, some of them before the one in front was answered: each names the one that it follows.
 * @param before what the destination has
 * @param next the next page; undefined when there is none any more
 * @returns what the destination has then; `elsewhere` when that is not what was sent, because another driver was faster or an
 *   import overtook another one: then it has to be asked
 */
async function importPages(
  copying: Copying,
  before: ImportState,
  next: () => Promise<Link | undefined>,
): Promise<ImportState | 'elsewhere' | 'lost'> {
  const { spans, job, importsAhead } = copying;
  const { attempt } = before;
  const sent: Sent[] = [];
  let last = before;
  let isEnd = false;
  const send = ({ page: { versions, sides = [] }, bookmark, isLast }: Link): void => {
    const seq = last.seq + 1;
    const request = { job: job.id, attempt, seq, bookmark, follows: last.bookmark, versions, sides };
    const outcome = spans
      .import(job.dst, request)
      .then((answer) => (answer.kind === 'done' ? answer.state : undefined));
    // Looked at in its turn.
    outcome.catch(() => undefined);
    sent.push({ bookmark, outcome });
    last = { attempt, seq, bookmark };
    isEnd = isLast;
  };
  try {
    for (;;) {
      while (!isEnd && sent.length < importsAhead) {
        const link = await next();
        if (!copying.isOurs()) return 'lost';
        if (link === undefined) isEnd = true;
        else send(link);
      }
      const first = sent.shift();
      if (first === undefined) return last;
      const state = await first.outcome;
      if (state?.bookmark.equals(first.bookmark) !== true) return 'elsewhere';
    }
  } finally {
    // Whatever comes next begins when nothing is on its way any more.
    await Promise.allSettled(sent.map(({ outcome }) => outcome));
  }
}

/** Copies the histories of the range, as far as they are not there yet. Pages are read while others are imported. */
export async function copyHistories(copying: Copying): Promise<'done' | CopyTrouble> {
  const { spans, job, pageBytes, pagesAhead } = copying;
  for (let refusedSeq = -1; ; ) {
    const imports = await importsOf(copying);
    // What is refused though it is the next one will be refused for ever.
    if (imports === undefined || imports.seq === refusedSeq) return 'restart';
    refusedSeq = imports.seq;
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind === 'capture') return 'done';
    const pages = new ReadAhead(place.next, pagesAhead, (from: NonNullable<BackfillPage['next']>) =>
      spans.backfill(job.src, { job: job.id, ...from, maxBytes: pageBytes }),
    );
    const result = await importPages(copying, imports, async () => {
      const [page] = await Promise.all([pages.next(), copying.rest()]);
      if (page === undefined) return undefined;
      const { next } = page;
      const bookmark = encodeBookmark(
        next === undefined ? { kind: 'capture', from: CAPTURE_START } : { kind: 'backfill', next },
      );
      return { page, bookmark, isLast: next === undefined };
    });
    if (result === 'lost') return result;
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
  let given = first === undefined ? undefined : linkOf(first);
  let bytes = 0;
  let refusedSeq = -1;
  for (let imports = known ?? (await importsOf(copying)); ; imports = await importsOf(copying)) {
    if (imports === undefined || imports.seq === refusedSeq) return 'restart';
    refusedSeq = imports.seq;
    const place = decodeBookmark(imports.bookmark, job);
    if (place.kind !== 'capture') return 'restart';
    const read = async (from: CapturePoint): Promise<CaptureLink> =>
      linkOf(await spans.captured(job.src, job.id, from, pageBytes));
    let links: ReadAhead<CapturePoint, CaptureLink> | undefined;
    let from: CapturePoint | undefined = place.from;
    const result = await importPages(copying, imports, async () => {
      if (from === undefined) return undefined;
      let link = given;
      given = undefined;
      if (link === undefined) {
        links ??= new ReadAhead(from, pagesAhead, read);
        link = await links.next();
      }
      assert(link !== undefined, 'a capture log goes on until a page says that it is the last');
      const { page } = link;
      from = link.next;
      const { versions, sides = [] } = page;
      for (const { key, value } of versions) bytes += key.length + (value?.length ?? 0);
      for (const { key, name, value } of sides) bytes += key.length + name.length + (value?.length ?? 0);
      if (versions.length === 0 && sides.length === 0 && page.isEnd) return undefined;
      return { page, bookmark: encodeBookmark({ kind: 'capture', from: page.next }), isLast: page.isEnd };
    });
    if (result === 'lost') return result;
    if (result !== 'elsewhere') return { bytes, imports: result };
  }
}
