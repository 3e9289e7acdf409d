/**
 * The key of a place for backups and what is made with it: names of objects, proofs of manifests, and objects as sealed frames.
 *
 *   sealed object  "KVRMENC1", salt (16 bytes), frame, ...
 *   frame          up to 1 MiB of content, encrypted, with its tag (16 bytes); all but the last are full
 *
 * Each object has a key of its own, from the place's key, the salt and the object's name (HKDF); the nonce of a frame is its number and whether
 * it is the last (AES-256-GCM as a stream: Hoang, Reyhanitabar, Rogaway and Vizar 2015). So a frame that is changed, moved, left out or cut off,
 * and an object that took another's place, do not open.
 */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto';
import type { Random } from '../../platform/index.ts';
import { deriveKey } from '../../security/index.ts';
import { BackupDamagedError } from './errors.ts';

const HEAD = Buffer.from('KVRMENC1');
const SALT_BYTES = 16;
const FRAME_BYTES = 1 << 20;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;

/** @param at number of the frame */
function nonceOf(at: number, isLast: boolean): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32BE(at, NONCE_BYTES - 5);
  nonce[NONCE_BYTES - 1] = isLast ? 1 : 0;
  return nonce;
}

/** Bytes of an object when it is sealed. */
export const sealedBytes = (bytes: number): number =>
  HEAD.length + SALT_BYTES + bytes + TAG_BYTES * Math.max(1, Math.ceil(bytes / FRAME_BYTES));

/** See the top of the file. Never shown. */
export class DataKey {
  /** Names it in manifests. */
  readonly id: string;
  readonly #content: Buffer;
  readonly #names: Buffer;
  readonly #proofs: Buffer;

  /** @param secret 32 bytes of chance */
  constructor(id: string, secret: Buffer) {
    this.id = id;
    const none = Buffer.alloc(0);
    this.#content = deriveKey(secret, none, 'backup content');
    this.#names = deriveKey(secret, none, 'backup names');
    this.#proofs = deriveKey(secret, none, 'backup proofs');
  }

  /** What stands for a content's hash in its name: nobody without the key can tell whether a place has a content. */
  nameOf(sha256: string): string {
    return createHmac('sha256', this.#names).update(sha256, 'hex').digest('hex');
  }

  /** Proves that a manifest was written by whoever has the key. */
  proofOf(text: string): string {
    return createHmac('sha256', this.#proofs).update(text).digest('hex');
  }

  proves(text: string, proof: string): boolean {
    const [own, given] = [Buffer.from(this.proofOf(text), 'hex'), Buffer.from(proof, 'hex')];
    return own.length === given.length && timingSafeEqual(own, given);
  }

  /** The content as a sealed object of the name. */
  async *seal(name: string, content: AsyncIterable<Buffer>, random: Random): AsyncGenerator<Buffer> {
    const salt = random.bytes(SALT_BYTES);
    const key = deriveKey(this.#content, salt, name);
    yield Buffer.concat([HEAD, salt]);
    let at = 0;
    for await (const { frame, isLast } of framesOf(content, FRAME_BYTES)) {
      const cipher = createCipheriv('aes-256-gcm', key, nonceOf(at, isLast));
      yield Buffer.concat([cipher.update(frame), cipher.final(), cipher.getAuthTag()]);
      at += 1;
    }
  }

  /** @throws BackupDamagedError when it is no sealed object of the name and the key, or not the whole of one */
  async *open(name: string, sealed: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    const refuse = (problem: string, cause?: unknown): never => {
      throw new BackupDamagedError(`${name} is damaged: ${problem}`, { cause });
    };
    const stream = sealed[Symbol.asyncIterator]();
    let rest: Buffer = Buffer.alloc(0);
    while (rest.length < HEAD.length + SALT_BYTES) {
      const step = await stream.next();
      if (step.done) return refuse('its beginning is cut off');
      rest = Buffer.concat([rest, step.value]);
    }
    if (!rest.subarray(0, HEAD.length).equals(HEAD)) refuse('it is no sealed object');
    const key = deriveKey(this.#content, rest.subarray(HEAD.length, HEAD.length + SALT_BYTES), name);
    const behind = resumed(rest.subarray(HEAD.length + SALT_BYTES), stream);
    let at = 0;
    for await (const { frame, isLast } of framesOf(behind, FRAME_BYTES + TAG_BYTES)) {
      if (frame.length < TAG_BYTES) refuse('its end is cut off');
      const decipher = createDecipheriv('aes-256-gcm', key, nonceOf(at, isLast));
      decipher.setAuthTag(frame.subarray(frame.length - TAG_BYTES));
      let content: Buffer = Buffer.alloc(0);
      try {
        content = Buffer.concat([decipher.update(frame.subarray(0, frame.length - TAG_BYTES)), decipher.final()]);
      } catch (error) {
        refuse(`frame ${at} does not open`, error);
      }
      yield content;
      at += 1;
    }
  }
}

async function* resumed(head: Buffer, stream: AsyncIterator<Buffer>): AsyncGenerator<Buffer> {
  yield head;
  for (let step = await stream.next(); !step.done; step = await stream.next()) yield step.value;
}

/** Pieces of any length as frames of one length, the last one shorter or equal; of nothing one empty frame. */
async function* framesOf(
  pieces: AsyncIterable<Buffer>,
  frameBytes: number,
): AsyncGenerator<{ readonly frame: Buffer; readonly isLast: boolean }> {
  let held: Buffer[] = [];
  let bytes = 0;
  for await (const piece of pieces) {
    for (let rest = piece; rest.length > 0; ) {
      // A full frame is given away when there is more behind it: only then it is not the last.
      if (bytes === frameBytes) {
        yield { frame: Buffer.concat(held), isLast: false };
        held = [];
        bytes = 0;
      }
      const taken = rest.subarray(0, frameBytes - bytes);
      held.push(taken);
      bytes += taken.length;
      rest = rest.subarray(taken.length);
    }
  }
  yield { frame: Buffer.concat(held), isLast: true };
}
