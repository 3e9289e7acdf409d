/** The services of `proto/kvorum.proto` by name. */
import type grpc from '@grpc/grpc-js';
import { loadPackage } from '../../proto.ts';

export { loadPackage };

/** Names of the services as gRPC tools show them. */
export const ADMIN_SERVICE = 'kvorum.v1.Admin';
export const RAW_KV_SERVICE = 'kvorum.v1.RawKV';
export const TRANSACTIONAL_KV_SERVICE = 'kvorum.v1.TransactionalKV';
export const SNAPSHOTS_SERVICE = 'kvorum.v1.Snapshots';

const definitionOf = (service: string): grpc.ServiceDefinition => loadPackage()[service] as grpc.ServiceDefinition;

/** The methods of the service for operators, with their codecs. */
export const adminDefinition = (): grpc.ServiceDefinition => definitionOf(ADMIN_SERVICE);

/** The methods of the service for single keys, with their codecs. */
export const rawKvDefinition = (): grpc.ServiceDefinition => definitionOf(RAW_KV_SERVICE);

/** The methods of the service for transactions, with their codecs. */
export const transactionalKvDefinition = (): grpc.ServiceDefinition => definitionOf(TRANSACTIONAL_KV_SERVICE);

/** The methods of the service for copies of groups, with their codecs. */
export const snapshotsDefinition = (): grpc.ServiceDefinition => definitionOf(SNAPSHOTS_SERVICE);
