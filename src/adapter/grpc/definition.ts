/** `proto/kvorum.proto`, loaded once: what server, client and reflection are made of. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type grpc from '@grpc/grpc-js';
import { loadSync, type PackageDefinition } from '@grpc/proto-loader';

/** Beside `src` in the sources, and beside `dist` in the package. */
const PLACES = ['../../../proto/kvorum.proto', '../../../../proto/kvorum.proto'];

/** Name of the service as gRPC tools show it. */
export const ADMIN_SERVICE = 'kvorum.v1.Admin';

let loaded: PackageDefinition | undefined;

/**
 * The package. Numbers are numbers (all of them stay below 2^53), absent optional fields are absent, repeated ones are
 * empty lists, bytes are Buffers.
 */
export function loadPackage(): PackageDefinition {
  if (loaded !== undefined) return loaded;
  const found = PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url))).find((path) => existsSync(path));
  if (found === undefined) throw new Error('proto/kvorum.proto is missing from this installation; install it again');
  loaded = loadSync(found, { longs: Number, defaults: true, arrays: true });
  return loaded;
}

/** The service's methods with their codecs. */
export function adminDefinition(): grpc.ServiceDefinition {
  return loadPackage()[ADMIN_SERVICE] as grpc.ServiceDefinition;
}
