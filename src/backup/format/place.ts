/**
 * A place for backups: what lies where in an object store.
 *
 *   place.json                          what the place is: its format, its id, whether it is encrypted; written by the first backup
 *   keys/<data key>.<wrapping key>      a key of the place, wrapped; once for each key that opens it
 *   objects/<2 digits>/<name>           segments of copies and their manifests, named by what is in them
 *   manifests/<id>.json                 a backup; written last, and only where there is none of the id
 *   changes/                            the archive of changes between backups, see change-log.ts
 *   pending/<id>.json                   a backup is being made: what it will name is not cleaned up
 *   cleaning.json                       somebody cleans up: no backup begins
 */
import { createHash } from 'node:crypto';
import type { Random } from '../../platform/index.ts';
import { KEY_BYTES, type WrappingKeys } from '../../security/index.ts';
import { type Json, openJson, sealJson } from '../../store/index.ts';
import { getObject, ObjectMissingError, type ObjectStore, readObject } from '../objects/index.ts';
import { DataKey, sealedBytes } from './data-key.ts';
import { BackupDamagedError, BackupError, BackupKeyError } from './errors.ts';
import {
  type BackupManifest,
  type BackupObject,
  checkProof,
  decodeBackup,
  encodeBackup,
  isBackupId,
} from './manifest.ts';

const FORMAT = 1;
const PLACE = 'place.json';
const KEYS = 'keys/';
const OBJECTS = 'objects/';
const MANIFESTS = 'manifests/';
const ID_BYTES = 8;

/** What a place says of itself. */
interface PlaceFacts {
  readonly id: string;
  readonly isEncrypted: boolean;
}

/** What is known of keys: some, that nothing shall be encrypted, or nothing. */
export type PlaceKey = WrappingKeys | 'none' | undefined;

const isKey = (key: PlaceKey): key is WrappingKeys => key !== undefined && key !== 'none';

/** Name of a key, behind its folder. */
const KEY_NAME = /^([0-9a-f]{16})\.([0-9a-f]{16})$/;

/** See the top of the file. */
export class BackupPlace {
  readonly store: ObjectStore;
  readonly isEncrypted: boolean;
  /** Tells places apart. */
  readonly id: string;
  private readonly random: Random;
  /** Those that the key at hand unwraps, by id. */
  private readonly dataKeys: ReadonlyMap<string, DataKey>;

  private constructor(store: ObjectStore, facts: PlaceFacts, dataKeys: ReadonlyMap<string, DataKey>, random: Random) {
    this.store = store;
    this.id = facts.id;
    this.isEncrypted = facts.isEncrypted;
    this.dataKeys = dataKeys;
    this.random = random;
  }

  /**
   * Opens a place to read. Without a key what is encrypted stays closed, and is listed, deleted and cleaned up all the same.
   * @throws BackupError when there are no backups; BackupKeyError when the key is not the place's; errors of the store
   */
  static async read(store: ObjectStore, key: PlaceKey, random: Random): Promise<BackupPlace> {
    const facts = await factsOf(store);
    if (facts === undefined) throw new BackupError(`there are no backups at ${store.place}`);
    // Whoever has a key expects proofs: a place that was exchanged would have none.
    if (isKey(key) && !facts.isEncrypted) {
      throw new BackupKeyError(`the backups at ${store.place} are not encrypted, though a key was named`);
    }
    return new BackupPlace(store, facts, await unwrapped(store, facts, key), random);
  }

  /**
   * Opens a place for a new backup, and makes it one when it is none. It asks for everything that a backup will need, so what is wrong is said
   * before one is made.
   * @throws BackupKeyError without a key, or with another one than the place's; BackupError when the store does not keep its promises
   */
  static async write(store: ObjectStore, key: PlaceKey, random: Random): Promise<BackupPlace> {
    if (key === undefined) {
      throw new BackupKeyError(
        `there is no key for backups at ${store.place}: give one, or say that they are not to be encrypted`,
      );
    }
    const isEncrypted = isKey(key);
    let facts = await factsOf(store);
    if (facts === undefined) {
      facts = { id: random.bytes(ID_BYTES).toString('hex'), isEncrypted };
      await store.put(PLACE, sealJson({ format: FORMAT, ...facts }), { ifAbsent: true });
      facts = (await factsOf(store)) ?? facts;
    }
    if (facts.isEncrypted !== isEncrypted) {
      const has = facts.isEncrypted ? 'encrypted' : 'not encrypted';
      throw new BackupKeyError(`the backups at ${store.place} are ${has}; choose another place, or the key that fits`);
    }
    // A store that overwrites what is there would let one backup take the place of another.
    if (await store.put(PLACE, sealJson({ format: FORMAT, ...facts }), { ifAbsent: true })) {
      throw new BackupError(
        `${store.place} writes over objects though it is told not to (If-None-Match); use another service`,
      );
    }
    let dataKeys = await unwrapped(store, facts, key);
    if (isKey(key)) {
      if (dataKeys.size === 0) {
        await addDataKey(store, facts, key, random);
        dataKeys = await unwrapped(store, facts, key);
      }
      // A new key that was put in front of the others.
      await wrapAgain(store, facts, key, random);
    }
    return new BackupPlace(store, facts, dataKeys, random);
  }

  /**
   * Opens a place that somebody else has opened to write a backup there, to have a part in it.
   * @param id of the place
   * @throws BackupError when it is another place that is seen from here; BackupKeyError
   */
  static async join(store: ObjectStore, key: PlaceKey, id: string, random: Random): Promise<BackupPlace> {
    const facts = await factsOf(store);
    if (facts?.id !== id) {
      throw new BackupError(
        `${store.place} is not the same place here as where the backup is made; a folder has to be one that all nodes share`,
      );
    }
    if (facts.isEncrypted !== isKey(key)) {
      const has = facts.isEncrypted
        ? 'encrypted, and there is no key for them here'
        : 'not encrypted, though there is a key';
      throw new BackupKeyError(`the backups at ${store.place} are ${has}`);
    }
    return new BackupPlace(store, facts, await unwrapped(store, facts, key), random);
  }

  /** The key that a new backup uses; undefined where nothing is encrypted. */
  get dataKey(): DataKey | undefined {
    if (!this.isEncrypted) return undefined;
    // All who write take the same one, so that contents have one name.
    const first = [...this.dataKeys.keys()].sort()[0];
    if (first === undefined)
      throw new BackupKeyError(`the backups at ${this.store.place} are encrypted; name their key`);
    return this.dataKeys.get(first);
  }

  /** What a content is called, and how large it is when it is stored. */
  objectOf(sha256: string, bytes: number): BackupObject {
    const key = this.dataKey;
    return { name: key?.nameOf(sha256) ?? sha256, bytes: key === undefined ? bytes : sealedBytes(bytes) };
  }

  /** A key of the place, where it is at hand; none where nothing is encrypted. */
  keyNamed(dataKey: string | undefined): DataKey | undefined {
    return dataKey === undefined ? undefined : this.dataKeys.get(dataKey);
  }

  /** Stores a content under its name. @returns what was written */
  async putContent({ name, bytes }: BackupObject, content: AsyncIterable<Buffer>, signal?: AbortSignal): Promise<void> {
    const written = await this.putStream(pathOf(name), content, signal, name);
    if (written !== bytes) throw new BackupDamagedError(`object ${name} has ${written} bytes instead of ${bytes}`);
  }

  /**
   * Stores a content at a path, sealed where backups are encrypted.
   * @param name what the content is bound to
   * @returns bytes written
   */
  async putStream(
    path: string,
    content: AsyncIterable<Buffer>,
    signal?: AbortSignal,
    name: string = path,
  ): Promise<number> {
    const key = this.dataKey;
    return this.store.putLarge(path, key === undefined ? content : key.seal(name, content, this.random), signal);
  }

  /** The content of an object. @param dataKey that of its backup @throws BackupDamagedError, ObjectMissingError */
  readContent(name: string, dataKey: string | undefined, signal?: AbortSignal): AsyncIterable<Buffer> {
    return this.readStream(pathOf(name), name, dataKey, signal);
  }

  /** What `putStream` stored. @throws BackupKeyError; BackupDamagedError, ObjectMissingError */
  readStream(path: string, name: string, dataKey: string | undefined, signal?: AbortSignal): AsyncIterable<Buffer> {
    const stored = readObject(this.store, path, signal);
    if (dataKey === undefined) return stored;
    const key = this.dataKeys.get(dataKey);
    if (key === undefined) throw this.lacking(dataKey);
    return key.open(name, stored);
  }

  /** A content that fits into memory. @throws BackupDamagedError when it is not what its hash says */
  async getContent(name: string, sha256: string, dataKey: string | undefined): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.readContent(name, dataKey)) pieces.push(piece);
    const content = Buffer.concat(pieces);
    if (createHash('sha256').update(content).digest('hex') !== sha256) {
      throw new BackupDamagedError(`object ${name} is damaged: it does not match its hash`);
    }
    return content;
  }

  /** Objects that are there, by name, with their sizes. */
  async objects(): Promise<Map<string, number>> {
    const found = new Map<string, number>();
    for await (const { name, bytes } of this.store.list(OBJECTS)) {
      found.set(name.slice(name.lastIndexOf('/') + 1), bytes);
    }
    return found;
  }

  async removeObject(name: string): Promise<void> {
    await this.store.remove(pathOf(name));
  }

  /** Ids of all backups, oldest first. */
  async ids(): Promise<string[]> {
    const ids: string[] = [];
    for await (const { name } of this.store.list(MANIFESTS)) {
      const id = name.slice(MANIFESTS.length).replace(/\.json$/, '');
      if (isBackupId(id)) ids.push(id);
    }
    return ids;
  }

  /**
   * What a backup says of itself. Proven where the key is at hand.
   * @throws BackupError when there is none of the id; BackupDamagedError
   */
  async manifest(id: string): Promise<BackupManifest> {
    const path = manifestPath(id);
    let bytes: Buffer;
    try {
      bytes = await getObject(this.store, path);
    } catch (error) {
      if (!(error instanceof ObjectMissingError)) throw error;
      throw new BackupError(`there is no backup ${id} at ${this.store.place}`, { cause: error });
    }
    const { proof, ...manifest } = decodeBackup(bytes, path);
    if (manifest.id !== id) throw new BackupDamagedError(`${path} is damaged: it is the manifest of ${manifest.id}`);
    if (this.isEncrypted && manifest.dataKey === undefined) {
      throw new BackupDamagedError(`${path} is damaged: it names no key, where backups are encrypted`);
    }
    const key = this.dataKeys.get(manifest.dataKey ?? '');
    if (key !== undefined) checkProof({ proof, ...manifest }, key, path);
    return manifest;
  }

  /** The same, and what it needs to be read is at hand. @throws BackupKeyError */
  async readable(id: string): Promise<BackupManifest> {
    const manifest = await this.manifest(id);
    if (manifest.dataKey !== undefined && !this.dataKeys.has(manifest.dataKey)) throw this.lacking(manifest.dataKey);
    return manifest;
  }

  /**
   * Writes a manifest: from here on there is the backup.
   * @throws BackupError when there is another one of the id
   */
  async putManifest(manifest: BackupManifest): Promise<void> {
    const path = manifestPath(manifest.id);
    const bytes = encodeBackup(manifest, this.dataKey);
    if (await this.store.put(path, bytes, { ifAbsent: true })) return;
    // The answer of an earlier attempt may have been lost.
    if (!(await getObject(this.store, path)).equals(bytes)) {
      throw new BackupError(`there is another backup ${manifest.id} at ${this.store.place}`);
    }
  }

  /** Takes a backup away; its objects stay until they are cleaned up. */
  async removeManifest(id: string): Promise<void> {
    await this.store.remove(manifestPath(id));
  }

  /**
   * Wraps the keys of the place with the first of the keys that are given, which none of the backups has to be written again for.
   * @param retires the other keys open nothing any more
   * @returns keys of the place
   * @throws BackupKeyError when one of them is wrapped by none of the keys that are given
   */
  static async rewrap(store: ObjectStore, keys: WrappingKeys, retires: boolean, random: Random): Promise<number> {
    const facts = await factsOf(store);
    if (facts === undefined) throw new BackupError(`there are no backups at ${store.place}`);
    if (!facts.isEncrypted) throw new BackupKeyError(`the backups at ${store.place} are not encrypted`);
    const opened = await unwrapped(store, facts, keys);
    const wrapped = await wrappedKeys(store);
    if (wrapped.some(({ id }) => !opened.has(id))) throw wrongKey(store, keys, wrapped);
    await wrapAgain(store, facts, keys, random);
    if (retires) for (const { name, by } of wrapped) if (by !== keys.name) await store.remove(name);
    return opened.size;
  }

  private lacking(dataKey: string): BackupKeyError {
    return new BackupKeyError(
      `the backups at ${this.store.place} are encrypted under data key ${dataKey}; name the key that wraps it`,
    );
  }
}

const pathOf = (name: string): string => `${OBJECTS}${name.slice(0, 2)}/${name}`;
const manifestPath = (id: string): string => `${MANIFESTS}${id}.json`;
const keyPath = (dataKey: string, wrappingKey: string): string => `${KEYS}${dataKey}.${wrappingKey}`;
const contextOf = ({ id }: PlaceFacts, dataKey: string): string => `kvorum backup ${id} ${dataKey}`;

/** @returns undefined when there is no place for backups */
async function factsOf(store: ObjectStore): Promise<PlaceFacts | undefined> {
  let bytes: Buffer;
  try {
    bytes = await getObject(store, PLACE);
  } catch (error) {
    if (error instanceof ObjectMissingError) return undefined;
    throw error;
  }
  const { format, id, isEncrypted } = openJson(bytes, `${PLACE} of ${store.place}`) as Readonly<Record<string, Json>>;
  if (format !== FORMAT) {
    throw new BackupError(
      `${store.place} has backups of format ${String(format)}, this version reads format ${FORMAT}`,
    );
  }
  return { id: String(id), isEncrypted: isEncrypted === true };
}

interface WrappedKey {
  readonly name: string;
  /** Of the data key. */
  readonly id: string;
  /** Id of the wrapping key. */
  readonly by: string;
}

async function wrappedKeys(store: ObjectStore): Promise<WrappedKey[]> {
  const found: WrappedKey[] = [];
  for await (const { name } of store.list(KEYS)) {
    const [, id, by] = KEY_NAME.exec(name.slice(KEYS.length)) ?? [];
    if (id !== undefined && by !== undefined) found.push({ name, id, by });
  }
  return found;
}

function wrongKey(store: ObjectStore, keys: WrappingKeys, wrapped: readonly WrappedKey[]): BackupKeyError {
  const needed = [...new Set(wrapped.map(({ by }) => by))].join(', ');
  return new BackupKeyError(
    `the keys at ${store.place} are wrapped by ${needed || 'no key'}, and the keys that are given are ${keys.names.join(', ')}`,
  );
}

/** What a wrapped key holds. @throws EncryptionKeyError when it was changed */
async function secretOf(store: ObjectStore, facts: PlaceFacts, keys: WrappingKeys, key: WrappedKey): Promise<Buffer> {
  return keys.unwrap(await getObject(store, key.name), contextOf(facts, key.id), `${key.name} of ${store.place}`);
}

/** Keys of the place that the keys at hand unwrap. @throws BackupKeyError when there are some and they unwrap none */
async function unwrapped(store: ObjectStore, facts: PlaceFacts, key: PlaceKey): Promise<Map<string, DataKey>> {
  const found = new Map<string, DataKey>();
  if (!facts.isEncrypted || !isKey(key)) return found;
  const wrapped = await wrappedKeys(store);
  for (const one of wrapped) {
    if (found.has(one.id) || !key.names.includes(one.by)) continue;
    found.set(one.id, new DataKey(one.id, await secretOf(store, facts, key, one)));
  }
  if (found.size === 0 && wrapped.length > 0) throw wrongKey(store, key, wrapped);
  return found;
}

async function addDataKey(store: ObjectStore, facts: PlaceFacts, keys: WrappingKeys, random: Random): Promise<void> {
  const id = random.bytes(ID_BYTES).toString('hex');
  const wrapped = keys.wrap(random.bytes(KEY_BYTES), contextOf(facts, id), random);
  await store.put(keyPath(id, keys.name), wrapped, { ifAbsent: true });
}

/** Whatever only an older one of the keys opens is wrapped by the first one too. */
async function wrapAgain(store: ObjectStore, facts: PlaceFacts, keys: WrappingKeys, random: Random): Promise<void> {
  const wrapped = await wrappedKeys(store);
  const isDone = new Set(wrapped.filter(({ by }) => by === keys.name).map(({ id }) => id));
  for (const one of wrapped) {
    if (isDone.has(one.id) || !keys.names.includes(one.by)) continue;
    const secret = await secretOf(store, facts, keys, one);
    const name = keyPath(one.id, keys.name);
    await store.put(name, keys.wrap(secret, contextOf(facts, one.id), random), { ifAbsent: true });
    // Seen with the new key before anybody relies on it.
    const again = await secretOf(store, facts, keys, { name, id: one.id, by: keys.name });
    if (!again.equals(secret)) throw new BackupDamagedError(`${name} holds another key`);
    isDone.add(one.id);
  }
}
