/**
 * Frames and streams between nodes over gRPC and plain connections, in lanes that do not hold each other up.
 */

export { createGrpcNetwork } from './grpc-network.ts';
