/** What the cluster remembers of its archive of changes: the notes of the unit of work, as JSON, as those of backups are. */
import { MAX_WORK_PROGRESS_BYTES } from '../../distribution/index.ts';
import { assert, type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';

/** The chain that is being written, and its last step. */
export interface ChainNotes {
  readonly place: string;
  readonly placeId: string;
  readonly id: string;
  /** Wall clock of its beginning. */
  readonly begunMs: Millis;
  /** Timestamps, decimal: where it begins, and where it ends by now. */
  readonly from: string;
  readonly to: string;
  readonly seq: number;
  /** Of the last step. */
  readonly sha256: string;
  /** Moment of the oldest backup that it leads on from; absent while there is none, and nothing can be restored by it. */
  readonly since?: string;
  /** What was known of backups when `since` was found. */
  readonly backups?: string;
  /** Versions that were stored, and the bytes of the last step. */
  readonly versions: number;
  readonly lastBytes: number;
}

/** The chain before broke off: between its end and the next backup no moment can be restored. */
export interface BrokenNotes {
  readonly atMs: Millis;
  /** Its last moment, decimal. */
  readonly to: string;
  readonly why: string;
}

export interface ArchiveNotes {
  readonly chain?: ChainNotes;
  readonly broken?: BrokenNotes;
  /** Attempts that failed since the last step. */
  readonly failures: number;
  /** What the last one ended with; empty for nothing. */
  readonly problem: string;
  /** Nothing is tried before. */
  readonly retryAtMs: Millis;
}

const FORMAT = 1;
/** Longer ones are cut: two of them and a place fit into the notes. */
const MAX_PROBLEM = 300;

export const NO_ARCHIVE: ArchiveNotes = { failures: 0, problem: '', retryAtMs: 0 };

/** The notes as they are stored with the unit of work. */
export function encodeArchiveNotes({ chain, broken, failures, problem, retryAtMs }: ArchiveNotes): Buffer {
  const shortened = broken && { ...broken, why: broken.why.slice(0, MAX_PROBLEM) };
  const notes = { chain, broken: shortened, failures, problem: problem.slice(0, MAX_PROBLEM), retryAtMs };
  const bytes = Buffer.from(JSON.stringify({ format: FORMAT, ...notes }));
  assert(bytes.length <= MAX_WORK_PROGRESS_BYTES, 'the notes fit into their row');
  return bytes;
}

/** Notes of an unknown form, and none, mean that nothing is known. */
export function decodeArchiveNotes(bytes: Buffer | undefined): ArchiveNotes {
  if (bytes === undefined || bytes.length === 0) return NO_ARCHIVE;
  try {
    const value = JSON.parse(bytes.toString()) as (ArchiveNotes & { readonly format?: unknown }) | null;
    if (value?.format !== FORMAT) return NO_ARCHIVE;
    const { chain, broken, failures, problem, retryAtMs } = value;
    return { ...(chain && { chain }), ...(broken && { broken }), failures, problem, retryAtMs };
  } catch (error) {
    if (error instanceof SyntaxError) return NO_ARCHIVE;
    throw error;
  }
}

/** Where the chain ends. */
export const endOf = ({ to }: Pick<ChainNotes, 'to'>): HlcTimestamp => hlcTimestamp(BigInt(to));
