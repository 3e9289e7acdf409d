/**
 * Places for objects as text that people write and the catalog keeps: `s3://bucket/prefix?endpoint=https://...&region=...&pathStyle=yes`,
 * `file:///mnt/backups`, or the path of a folder. Credentials are never part of it.
 */
import { isAbsolute, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Disk, type ErrorDisposition, KvorumError, type Random, type Scheduler } from '../../platform/index.ts';
import { FolderObjects } from './folder-objects.ts';
import { isObjectName, type ObjectStore } from './object-store.ts';
import { type S3Limits, type S3Location, S3Objects } from './s3-objects.ts';

/** A place for objects is written in no form that is known. */
export class ObjectPlaceError extends KvorumError {
  readonly code = 'OBJECT_PLACE';
  readonly disposition: ErrorDisposition = 'final';
}

/** A place, taken apart. */
export type ObjectPlace = { readonly kind: 'folder'; readonly folder: string } | ({ readonly kind: 's3' } & S3Location);

/** What stores are made from. */
export interface ObjectStoreParts {
  readonly disk: Disk;
  readonly random: Random;
  readonly scheduler: Scheduler;
  readonly s3?: Partial<S3Limits>;
}

const MAX_PLACE = 1024;
const BUCKET = /^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/i;
const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['yes', true],
  ['true', true],
  ['no', false],
  ['false', false],
]);

/**
 * Takes a place apart.
 * @param base what a path is relative to; undefined: it must be absolute
 * @throws ObjectPlaceError that says what is wrong
 */
export function parsePlace(text: string, base?: string): ObjectPlace {
  if (text === '' || text.length > MAX_PLACE) {
    throw new ObjectPlaceError(
      `a place has 1 to ${MAX_PLACE} characters: s3://bucket/prefix, file:///folder or a path`,
    );
  }
  if (text.startsWith('s3:')) return parseS3(text);
  if (text.startsWith('file:')) return { kind: 'folder', folder: folderOf(text) };
  const scheme = /^([a-z][a-z0-9+.-]+):\/\//i.exec(text)?.[1];
  if (scheme !== undefined) throw new ObjectPlaceError(`${scheme}: is no place for backups; there are s3: and file:`);
  if (base === undefined && !isAbsolute(text)) {
    throw new ObjectPlaceError(`'${text}' is relative; name the folder by its whole path`);
  }
  return { kind: 'folder', folder: resolve(base ?? '/', text) };
}

function urlOf(text: string): URL {
  try {
    return new URL(text);
  } catch (error) {
    throw new ObjectPlaceError(`'${text}' is no URL`, { cause: error });
  }
}

function folderOf(text: string): string {
  try {
    return fileURLToPath(urlOf(text));
  } catch (error) {
    if (error instanceof ObjectPlaceError) throw error;
    throw new ObjectPlaceError(`'${text}' names no folder of this machine: file:///mnt/backups`, { cause: error });
  }
}

function parseS3(text: string): ObjectPlace {
  const url = urlOf(text);
  if (url.username !== '' || url.password !== '') {
    throw new ObjectPlaceError('credentials are not part of a place: they come from the environment or a profile');
  }
  const bucket = url.host;
  if (!BUCKET.test(bucket)) throw new ObjectPlaceError(`'${bucket}' is no name of a bucket: s3://bucket/prefix`);
  const path = url.pathname.replace(/^\/+|\/+$/g, '');
  if (path !== '' && !isObjectName(path)) {
    throw new ObjectPlaceError(`the prefix '${path}' has other characters than letters, digits and any of - _ . /`);
  }
  const known = new Set(['endpoint', 'region', 'pathStyle']);
  for (const name of url.searchParams.keys()) {
    if (!known.has(name)) throw new ObjectPlaceError(`'${name}' says nothing of a bucket; ${[...known].join(', ')} do`);
  }
  const endpoint = url.searchParams.get('endpoint') ?? undefined;
  if (endpoint !== undefined && !/^https?:$/.test(urlOf(endpoint).protocol)) {
    throw new ObjectPlaceError(`the endpoint '${endpoint}' is no address of http: or https:`);
  }
  const style = url.searchParams.get('pathStyle');
  const isPathStyle = style === null ? endpoint !== undefined : FLAGS.get(style);
  if (isPathStyle === undefined) throw new ObjectPlaceError('pathStyle is yes or no');
  return {
    kind: 's3',
    bucket,
    prefix: path === '' ? '' : `${path}/`,
    endpoint,
    region: url.searchParams.get('region') ?? undefined,
    isPathStyle,
  };
}

/** The store at a place. Nothing is asked of it yet. */
export async function openObjects(place: ObjectPlace, parts: ObjectStoreParts): Promise<ObjectStore> {
  if (place.kind === 'folder') return new FolderObjects({ ...parts, folder: place.folder });
  return S3Objects.open(place, parts.scheduler, parts.s3);
}
