/** Imports what imports what workflows can't have. */

export { reads } from './imports-node';
