/** The connection that workers use. */

import { Connection } from '@durably/client';

export type { ConnectionOptions as NativeConnectionOptions } from '@durably/client';

/** A connection to a server. The same as a client's: either serves for both. */
export class NativeConnection extends Connection {}
