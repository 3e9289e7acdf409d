export { createGrpcNetwork, type GrpcNetwork, type GrpcNetworkOptions } from './grpc-network.ts';
