/**
 * The archive of changes at a place for backups.
 *
 *   changes/steps/<chain>/<seq>.json       a step; written when all its parts are there, and only where there is none of the number
 *   changes/parts/<chain>/<seq>/<attempt><chance>-<group>   versions of a group; an attempt that broke leaves some behind
 *
 * Parts of a step lie under its number. So whoever cleans up tells what may still be on its way, which is behind the last step, from what is not
 * needed, and keeps out of nobody's way. A name has chance in it: of two leaders who store the part of one attempt, neither writes over the other's.
 */
import { createHash } from 'node:crypto';
import { assert, type GroupId, type Random } from '../../platform/index.ts';
import { getObject, ObjectMissingError } from '../objects/index.ts';
import { type ChangePart, type ChangeStep, checkStepProof, decodeStep, encodeStep } from './change-step.ts';
import { BackupDamagedError } from './errors.ts';
import { type BackupObject, isBackupId } from './manifest.ts';
import type { BackupPlace } from './place.ts';

const STEPS = 'changes/steps/';
const PARTS = 'changes/parts/';
const SEQ_DIGITS = 12;
const ATTEMPT_BYTES = 4;
const CHANCE_BYTES = 8;

/** Names an attempt at a step. */
export const newAttempt = (random: Random): string => random.bytes(ATTEMPT_BYTES).toString('hex');
/** Names a part of an attempt. */
export const newPartName = (attempt: string, group: GroupId, random: Random): string =>
  `${attempt}${random.bytes(CHANCE_BYTES).toString('hex')}-${group}`;
/** The attempt that a part is of. */
export const attemptOf = (name: string): string => name.slice(0, ATTEMPT_BYTES * 2);

/** A step that is at the place. */
export interface StoredStep {
  readonly step: ChangeStep;
  /** Of its bytes: what the next one names. */
  readonly sha256: string;
}

/** An object of a part that is at the place, named by a step or not. */
export interface StoredPart extends BackupObject {
  readonly chain: string;
  readonly seq: number;
}

const hashOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
const seqText = (seq: number): string => String(seq).padStart(SEQ_DIGITS, '0');
const stepPath = (chain: string, seq: number): string => `${STEPS}${chain}/${seqText(seq)}.json`;
const partPath = (chain: string, seq: number, name: string): string => `${PARTS}${chain}/${seqText(seq)}/${name}`;

/** See the top of the file. */
export class ChangeLog {
  readonly place: BackupPlace;

  constructor(place: BackupPlace) {
    this.place = place;
  }

  /** Numbers of the steps that are there, ascending, by chain; chains in the order of their time. */
  async chains(): Promise<Map<string, readonly number[]>> {
    const found = new Map<string, number[]>();
    for await (const { name } of this.place.store.list(STEPS)) {
      const [chain = '', file = ''] = name.slice(STEPS.length).split('/');
      const seq = /^(\d{12})\.json$/.exec(file)?.[1];
      if (!isBackupId(chain) || seq === undefined) continue;
      const seqs = found.get(chain);
      if (seqs === undefined) found.set(chain, [Number(seq)]);
      else seqs.push(Number(seq));
    }
    return found;
  }

  /**
   * A step. Proven where the key is at hand.
   * @throws BackupDamagedError when it is missing or damaged
   */
  async step(chain: string, seq: number): Promise<StoredStep> {
    const path = stepPath(chain, seq);
    let bytes: Buffer;
    try {
      bytes = await getObject(this.place.store, path);
    } catch (error) {
      if (!(error instanceof ObjectMissingError)) throw error;
      throw new BackupDamagedError(`${path} is missing at ${this.place.store.place}`, { cause: error });
    }
    return this.proven(bytes, chain, seq);
  }

  /**
   * Writes a step: from here on what it names is archived.
   * @returns what is there under its number, which may be another one of somebody who was faster
   * @throws BackupDamagedError when the store did not keep it
   */
  async putStep(step: ChangeStep): Promise<StoredStep> {
    const { chain, seq } = step;
    const path = stepPath(chain, seq);
    await this.place.store.put(path, encodeStep(step, this.place.dataKey), { ifAbsent: true });
    // A store that only says that it kept it would leave a hole in the chain.
    return this.step(chain, seq);
  }

  /** Stores versions of a group. @returns what to name in the step */
  async putPart(
    chain: string,
    seq: number,
    name: string,
    content: AsyncIterable<Buffer>,
    signal?: AbortSignal,
  ): Promise<Pick<ChangePart, 'object' | 'sha256'>> {
    const hash = createHash('sha256');
    const hashed = async function* (): AsyncGenerator<Buffer> {
      for await (const piece of content) {
        hash.update(piece);
        yield piece;
      }
    };
    const bytes = await this.place.putStream(partPath(chain, seq, name), hashed(), signal);
    return { object: { name, bytes }, sha256: hash.digest('hex') };
  }

  /** @throws BackupDamagedError when a part of a step is not there, with its size */
  async assertStored({ chain, seq, parts }: ChangeStep): Promise<void> {
    const there = new Map<string, number>();
    for await (const { name, bytes } of this.parts(chain, seq)) there.set(name, bytes);
    for (const { object } of parts) {
      if (there.get(object.name) === object.bytes) continue;
      throw new BackupDamagedError(
        `${this.place.store.place} lost ${partPath(chain, seq, object.name)}, which it said it had`,
      );
    }
  }

  /** The content of a part, held against its hash at the end. @throws BackupDamagedError */
  async *readPart(
    { chain, seq, dataKey }: ChangeStep,
    { object, sha256 }: ChangePart,
    signal?: AbortSignal,
  ): AsyncGenerator<Buffer> {
    const path = partPath(chain, seq, object.name);
    const hash = createHash('sha256');
    try {
      for await (const piece of this.place.readStream(path, path, dataKey, signal)) {
        hash.update(piece);
        yield piece;
      }
    } catch (error) {
      if (!(error instanceof ObjectMissingError)) throw error;
      throw new BackupDamagedError(`${path} is missing at ${this.place.store.place}`, { cause: error });
    }
    if (hash.digest('hex') !== sha256) {
      throw new BackupDamagedError(`${path} is damaged: it does not match its hash`);
    }
  }

  /** Parts that are there, of all chains or of one step, by chain and number. */
  async *parts(chain?: string, seq?: number): AsyncGenerator<StoredPart> {
    const prefix = chain === undefined || seq === undefined ? PARTS : partPath(chain, seq, '');
    for await (const { name, bytes } of this.place.store.list(prefix)) {
      const [ofChain = '', ofSeq = '', part = ''] = name.slice(PARTS.length).split('/');
      if (isBackupId(ofChain) && /^\d{12}$/.test(ofSeq))
        yield { chain: ofChain, seq: Number(ofSeq), name: part, bytes };
    }
  }

  async removeStep(chain: string, seq: number): Promise<void> {
    await this.place.store.remove(stepPath(chain, seq));
  }

  async removePart({ chain, seq, name }: StoredPart): Promise<void> {
    await this.place.store.remove(partPath(chain, seq, name));
  }

  private proven(bytes: Buffer, chain: string, seq: number): StoredStep {
    const path = stepPath(chain, seq);
    const { proof, ...step } = decodeStep(bytes, path);
    if (step.chain !== chain || step.seq !== seq) {
      throw new BackupDamagedError(`${path} is damaged: it is step ${step.seq} of ${step.chain}`);
    }
    if (this.place.isEncrypted && step.dataKey === undefined) {
      throw new BackupDamagedError(`${path} is damaged: it names no key, where backups are encrypted`);
    }
    const key = this.place.keyNamed(step.dataKey);
    if (key !== undefined) checkStepProof({ proof, ...step }, key, path);
    return { step, sha256: hashOf(bytes) };
  }
}

/** @throws BackupDamagedError when one step is not what follows another */
export function assertFollows(before: StoredStep, { step }: StoredStep): void {
  assert(before.step.chain === step.chain, 'steps of one chain are compared');
  const isNext =
    step.seq === before.step.seq + 1 &&
    step.before === before.sha256 &&
    step.from === before.step.to &&
    step.to >= step.from;
  if (isNext) return;
  throw new BackupDamagedError(
    `step ${step.seq} of the archive of changes ${step.chain} does not follow step ${before.step.seq}: one of them was exchanged`,
  );
}
