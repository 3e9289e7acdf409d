/**
 * The data plane of a node put together: the groups here, and the way to those elsewhere.
 */

export { createKvService, type GroupLocation, type KvServiceOptions, type NodeKvService } from './service.ts';
