/**
 * Where the catalog lives among all keys of the cluster: under the reserved prefix 0x00, in the catalog group. Everything
 * that a user can name goes through `userKey`, which never makes a key that begins with 0x00, keeps the order of keys and
 * loses nothing; so no namespace can reach the catalog, however its keys look.
 *
 *   key := 00 'c' family [suffix]
 *   families: 'm' meta, 'r' route/<id u53>, 'd' delta/<version u53>, 'j' job/<id u53>, 'h' jobhist/<terminal ms u53><id u53>,
 *             'n' node/<id u16>, 't' tombstone/<node u16><incarnation 16 bytes>, 'g' group/<id u32>, 's' setting/<name>,
 *             'f' feature/<name>, 'w' work/<name>, 'o' withdrawal/<node u16>
 */

import { ByteReader, ByteWriter, type GroupId, type NodeId } from '../../platform/index.ts';
import { CatalogCorruptError } from './errors.ts';
import type { CatalogVersion, JobId, RouteId } from './types.ts';

const RESERVED = 0x00;
const ESCAPE = 0x01;

/** First key after the reserved range; the route `['', RESERVED_END)` is never split, merged or moved. */
export const RESERVED_END: Buffer = Buffer.from([ESCAPE]);

/** All catalog rows lie in `[CATALOG_START, CATALOG_END)`. */
export const CATALOG_START: Buffer = Buffer.from([RESERVED, 0x63]);
export const CATALOG_END: Buffer = Buffer.from([RESERVED, 0x64]);

/** True for a key that only the cluster itself may write: the data-plane gate refuses it with RESERVED_RANGE. */
export const isReservedKey = (key: Buffer): boolean => key.length === 0 || key[0] === RESERVED;

/**
 * Storage key of a key that came from outside: keys that begin with 0x00 or 0x01, and the empty one, get 0x01 in front.
 * One to one, order-preserving, never reserved. A copy only when it must be.
 */
export function userKey(key: Buffer): Buffer {
  if (key.length > 0 && key[0]! > ESCAPE) return key;
  return Buffer.concat([RESERVED_END, key]);
}

/** The key that `userKey` was given; undefined for a key that it cannot have made. */
export function originalKey(storageKey: Buffer): Buffer | undefined {
  if (isReservedKey(storageKey)) return undefined;
  if (storageKey[0]! > ESCAPE) return storageKey;
  if (storageKey.length > 1 && storageKey[1]! > ESCAPE) return undefined;
  return storageKey.subarray(1);
}

const key = (family: string): ByteWriter => new ByteWriter(24).raw(CATALOG_START).u8(family.charCodeAt(0));

/** Key of the one meta row: its version is what every change is compared and set against. */
export const META_KEY: Buffer = key('m').finish();

export const routeKey = (id: RouteId): Buffer => key('r').u53(id).finish();
export const deltaKey = (version: CatalogVersion): Buffer => key('d').u53(version).finish();
export const jobKey = (id: JobId): Buffer => key('j').u53(id).finish();
export const jobHistoryKey = (terminalMs: number, id: JobId): Buffer => key('h').u53(terminalMs).u53(id).finish();
export const nodeKey = (node: NodeId): Buffer => key('n').u16(node).finish();
export const tombstoneKey = (node: NodeId, incarnation: Buffer): Buffer => key('t').u16(node).raw(incarnation).finish();
export const groupKey = (id: GroupId): Buffer => key('g').u32(id).finish();
export const settingKey = (name: string): Buffer => key('s').text(name).finish();
export const featureKey = (name: string): Buffer => key('f').text(name).finish();
export const workKey = (name: string): Buffer => key('w').text(name).finish();
export const withdrawalKey = (node: NodeId): Buffer => key('o').u16(node).finish();

/** What a catalog key names. */
export type CatalogKey =
  | { readonly family: 'meta' }
  | { readonly family: 'route'; readonly id: RouteId }
  | { readonly family: 'delta'; readonly version: CatalogVersion }
  | { readonly family: 'job'; readonly id: JobId }
  | { readonly family: 'jobHistory'; readonly terminalMs: number; readonly id: JobId }
  | { readonly family: 'node' | 'withdrawal'; readonly node: number }
  | { readonly family: 'tombstone'; readonly node: number; readonly incarnation: Buffer }
  | { readonly family: 'group'; readonly id: number }
  | { readonly family: 'setting' | 'feature' | 'work'; readonly name: string };

/** @throws CatalogCorruptError for anything that the functions above cannot have made */
export function parseCatalogKey(bytes: Buffer): CatalogKey {
  const reader = new ByteReader(bytes, 'a catalog key', CatalogCorruptError);
  if (!reader.raw(CATALOG_START.length).equals(CATALOG_START)) throw reader.corrupt('has another prefix');
  const parsed = parseFamily(reader);
  reader.end();
  return parsed;
}

function parseFamily(reader: ByteReader): CatalogKey {
  const family = String.fromCharCode(reader.u8());
  switch (family) {
    case 'm':
      return { family: 'meta' };
    case 'r':
      return { family: 'route', id: reader.u53() };
    case 'd':
      return { family: 'delta', version: reader.u53() };
    case 'j':
      return { family: 'job', id: reader.u53() };
    case 'h':
      return { family: 'jobHistory', terminalMs: reader.u53(), id: reader.u53() };
    case 'n':
      return { family: 'node', node: reader.u16() };
    case 't':
      return { family: 'tombstone', node: reader.u16(), incarnation: reader.raw(16) };
    case 'g':
      return { family: 'group', id: reader.u32() };
    case 's':
      return { family: 'setting', name: reader.text() };
    case 'f':
      return { family: 'feature', name: reader.text() };
    case 'w':
      return { family: 'work', name: reader.text() };
    case 'o':
      return { family: 'withdrawal', node: reader.u16() };
    default:
      throw reader.corrupt(`has unknown family '${family}'`);
  }
}
