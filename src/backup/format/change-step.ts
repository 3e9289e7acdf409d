/**
 * A step of the archive of changes: what was committed in the whole cluster after one moment and up to another. Steps are a chain: each names the
 * hash of the one before and begins at its end, so that one that is missing, changed or exchanged is seen. The first one of a chain has nothing but
 * its moment. A line of JSON with a line that proves it, and with a key a proof that only who has the key could write, as manifests of backups.
 */
import { type GroupId, groupId, type HlcTimestamp, hlcTimestamp, type Millis } from '../../platform/index.ts';
import type { Json } from '../../store/index.ts';
import type { DataKey } from './data-key.ts';
import { BackupDamagedError } from './errors.ts';
import { type BackupObject, isBackupId, isCount, isHash, isTimestampText } from './manifest.ts';
import { checkRecord, FORMAT, openRecord, sealRecord } from './record.ts';

/** The changes of one group. */
export interface ChangePart {
  readonly group: GroupId;
  readonly versions: number;
  /** Before they were packed. */
  readonly bytes: number;
  /** Its name within the step. */
  readonly object: BackupObject;
  /** Of the content. */
  readonly sha256: string;
}

/** See the top of the file. */
export interface ChangeStep {
  /** Sorts by time, as ids of backups do. */
  readonly chain: string;
  /** 0 for the first of the chain. */
  readonly seq: number;
  readonly createdMs: Millis;
  /** Of the program that wrote it. */
  readonly version: string;
  readonly clusterName: string;
  /** What was committed after it, */
  readonly from: HlcTimestamp;
  /** and up to it. */
  readonly to: HlcTimestamp;
  /** Hash of the step before; undefined for the first. */
  readonly before: string | undefined;
  /** The cluster has issued no timestamp at or above it by then, as far as it was asked. */
  readonly ceilingMs: Millis;
  /** Id of the place's key; undefined: nothing is encrypted. */
  readonly dataKey: string | undefined;
  /** Of groups that had changes, by group. */
  readonly parts: readonly ChangePart[];
}

function rowOf(step: ChangeStep): { [name: string]: Json } {
  const { chain, seq, createdMs, version, clusterName, from, to, before, ceilingMs, dataKey, parts } = step;
  return {
    format: FORMAT,
    chain,
    seq,
    createdMs,
    version,
    clusterName,
    from: from.toString(),
    to: to.toString(),
    before: before ?? null,
    ceilingMs,
    dataKey: dataKey ?? null,
    parts: parts.map(({ group, versions, bytes, object, sha256 }) => {
      return { group, versions, bytes, object: { name: object.name, bytes: object.bytes }, sha256 };
    }),
  };
}

/** The bytes of a step, the same for the same step. @param key the step's own */
export function encodeStep(step: ChangeStep, key: DataKey | undefined): Buffer {
  const row = rowOf(step);
  return sealRecord(row, key);
}

/** Names of parts. */
const isPartName = (value: unknown): value is string =>
  typeof value === 'string' && /^[0-9a-f]{24}-\d{1,10}$/.test(value);

function isPart(value: unknown): value is ChangePart {
  const part = value as Partial<ChangePart> | null;
  return (
    typeof part === 'object' &&
    part !== null &&
    isCount(part.group) &&
    part.group > 0 &&
    isCount(part.versions) &&
    isCount(part.bytes) &&
    isHash(part.sha256) &&
    typeof part.object === 'object' &&
    part.object !== null &&
    isPartName(part.object.name) &&
    isCount(part.object.bytes)
  );
}

/**
 * Reads a step. What it names is believed only after `checkStepProof`, where there is a key.
 * @throws BackupDamagedError when it is damaged; BackupError when it is of another format
 */
export function decodeStep(bytes: Buffer, what: string): ChangeStep & { readonly proof: string | undefined } {
  const value = openRecord(bytes, what);
  const { chain, seq, createdMs, version, clusterName, from, to, before, ceilingMs, dataKey, parts, proof } = value;
  const isWhole =
    typeof chain === 'string' &&
    isBackupId(chain) &&
    isCount(seq) &&
    isCount(createdMs) &&
    typeof version === 'string' &&
    typeof clusterName === 'string' &&
    isTimestampText(from) &&
    isTimestampText(to) &&
    (before === null ? seq === 0 : isHash(before) && seq > 0) &&
    isCount(ceilingMs) &&
    (dataKey === null || typeof dataKey === 'string') &&
    (proof === undefined || isHash(proof)) &&
    Array.isArray(parts) &&
    parts.every(isPart);
  if (!isWhole) throw new BackupDamagedError(`${what} lacks what a step has`);
  return {
    chain,
    seq,
    createdMs,
    version,
    clusterName,
    from: hlcTimestamp(BigInt(from)),
    to: hlcTimestamp(BigInt(to)),
    before: (before as string | null) ?? undefined,
    ceilingMs,
    dataKey: dataKey ?? undefined,
    parts: parts.map((part) => ({ ...part, group: groupId(part.group) })),
    proof: proof as string | undefined,
  };
}

/** @throws BackupKeyError without the step's key; BackupDamagedError when its proof is wrong */
export function checkStepProof(
  { proof, ...step }: ReturnType<typeof decodeStep>,
  key: DataKey | undefined,
  what: string,
): void {
  checkRecord(rowOf(step), { dataKey: step.dataKey, proof }, key, what);
}
