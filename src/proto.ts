/** `proto/kvorum.proto`, loaded once: what servers, clients and reflection are made of. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

/** Beside `src` in the sources, and beside `dist` in the package. */
const PLACES = ['../proto/kvorum.proto', '../../proto/kvorum.proto'];

let loaded: PackageDefinition | undefined;

/**
 * The package. Numbers are numbers (all of them stay below 2^53), absent optional fields are absent, absent messages are
 * null, repeated ones are empty lists, bytes are Buffers.
 */
export function loadPackage(): PackageDefinition {
  if (loaded !== undefined) return loaded;
  const found = PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
  if (found === undefined) throw new Error('proto/kvorum.proto is missing from this installation; install it again');
  loaded = loadSync(found, { longs: Number, defaults: true, arrays: true });
  return loaded;
}
