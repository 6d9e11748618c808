// copies: counts in the kernel what one process's sending of a file costs, and another's receiving.
//
// Kernel probes and function entries are refused on hardened kernels (lockdown, `kernel_lockdown(7)`); raw
// tracepoints with BTF (Linux 5.5) are not, and are enough: which pages a packet carries says whether its
// bytes were copied into it.
//
// The types are as much of the kernel's as is needed here. Their fields are found by name in the running
// kernel's BTF when this is loaded (CO-RE), so one object serves all. `build` makes it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef long long s64;

#define SEC(name) __attribute__((section(name), used))
#define uint(name, value) int(*name)[value]
#define exists(field) __builtin_preserve_field_info(field, 2 /* BPF_FIELD_EXISTS */)
#define type(name, value) typeof(value) *name

static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static long (*bpf_probe_read_kernel)(void *to, u32 size, const void *from) = (void *)113;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;

// Structures of the kernel, each as far as it is read here.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct pt_regs {
	unsigned long di;
	unsigned long dx;
	unsigned long r10;
	unsigned long orig_ax;
};

struct inode {
	u16 i_mode;
};

struct file {
	u32 f_flags;
	struct inode *f_inode;
};

struct fdtable {
	u32 max_fds;
	struct file **fd;
};

struct files_struct {
	struct fdtable *fdt;
};

struct task_struct {
	struct files_struct *files;
};

struct sock_common {
	u16 skc_num;
	u16 skc_dport; // of the other end, in network byte order
};

struct sock {
	struct sock_common __sk_common;
};

struct sk_buff {
	struct sock *sk;
	u32 len;
	u32 data_len;
	u32 end;
	u16 transport_header;
	u8 *head;
	u8 *data;
};

struct skb_shared_info {
	u8 nr_frags;
	struct {
		u64 page;
		u32 len;
		u32 offset;
	} frags[1];
};

struct page {
	unsigned long compound_head;
	void *mapping;
};

// Since Linux 5.16 it is the folio that has a mapping, and one day the page has none any more.
struct folio {
	void *mapping;
};

struct request {
	u32 cmd_flags;
};

struct io_cqe {
	int res;
};

struct io_kiocb {
	struct file *file;
	u8 opcode;
	struct io_cqe cqe;
};

#pragma clang attribute pop

// A fragment of a packet, as it has been since Linux 5.4: the first field is a page, a bio_vec's or a netmem.
struct fragment {
	u64 page;
	u32 len;
	u32 offset;
};

// What is looked at. User space writes it, and reads what is counted, by these numbers.
enum { SENDER, RECEIVER, PORT, SETTINGS };

enum {
	COUNTING,
	CALLS,          // system calls of the sender
	FAULTS,         // its page faults in user space
	READ,           // bytes copied out of the page cache by its reads
	SENT_COPIED,    // bytes in its packets on pages of the kernel's own: copied there
	SENT_USER,      // on pages of a process
	SENT_CACHE,     // on pages of the page cache
	SENT_OTHER,     // on memory that has no page (of a device)
	PACKETS,        // packets, before they are cut to the device's size
	RECEIVED,       // bytes copied to the receiver by its reads
	RECEIVER_CALLS, // system calls of the receiver
	DISK,           // bytes that disks have read, for whomever
	FAULTS_INSIDE,  // page faults of the sender in the kernel, which cross no border
	PASSES,         // calls of the sender that gave bytes to a socket
	RING_READ,      // bytes copied out of the page cache by reads through io_uring
	DELIVERED,      // bytes in packets as they come to the receiver's socket, on pages of the kernel's own
	DELIVERED_ELSE, // on others: nobody has copied them on the way
	COUNTERS
};

struct {
	uint(type, 2); // BPF_MAP_TYPE_ARRAY
	uint(max_entries, SETTINGS);
	type(key, u32);
	type(value, u64);
} settings SEC(".maps");

struct {
	uint(type, 2);
	uint(max_entries, COUNTERS);
	type(key, u32);
	type(value, u64);
} counters SEC(".maps");

static __attribute__((always_inline)) u64 setting(u32 which)
{
	u64 *value = bpf_map_lookup_elem(&settings, &which);
	return value ? *value : 0;
}

static __attribute__((always_inline)) int counting(void)
{
	u32 which = COUNTING;
	u64 *value = bpf_map_lookup_elem(&counters, &which);
	return value && *value;
}

static __attribute__((always_inline)) void add(u32 which, u64 amount)
{
	u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		__sync_fetch_and_add(value, amount);
}

static __attribute__((always_inline)) void set(u32 which, u64 to)
{
	u64 *value = bpf_map_lookup_elem(&counters, &which);
	if (value)
		*value = to;
}

static __attribute__((always_inline)) u32 process(void)
{
	return bpf_get_current_pid_tgid() >> 32;
}

// The sender says where its work begins and ends, by a call that does nothing else:
// getpgid(2) of a process that cannot be.
#define MARK_CALL 121
#define MARK_BEGIN 0x7eda0001
#define MARK_END 0x7eda0002

SEC("tp_btf/sys_enter")
int entering(u64 *args)
{
	struct pt_regs *registers = (void *)args[0];
	u64 call = args[1];
	u32 who = process();
	if (who == setting(SENDER)) {
		if (call == MARK_CALL) {
			u32 mark = registers->di;
			if (mark == MARK_BEGIN)
				set(COUNTING, 1);
			if (mark == MARK_END)
				set(COUNTING, 0);
			return 0;
		}
		if (counting())
			add(CALLS, 1);
	} else if (who == setting(RECEIVER) && counting()) {
		add(RECEIVER_CALLS, 1);
	}
	return 0;
}

#define KIND 0170000
#define REGULAR 0100000
#define SOCKET 0140000
#define DIRECT 040000 // O_DIRECT, on x86
#define TRUNC 0x20    // MSG_TRUNC: what is received is thrown away

struct kind {
	u32 flags;
	u16 mode;
};

static __attribute__((always_inline)) struct kind look_at(struct file *file)
{
	struct kind kind = {};
	struct inode *inode = 0;
	if (!file)
		return kind;
	bpf_probe_read_kernel(&kind.flags, sizeof(kind.flags), &file->f_flags);
	bpf_probe_read_kernel(&inode, sizeof(inode), &file->f_inode);
	if (inode)
		bpf_probe_read_kernel(&kind.mode, sizeof(kind.mode), &inode->i_mode);
	return kind;
}

// The file of a descriptor of the current process.
static __attribute__((always_inline)) struct file *file_of(u64 descriptor)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct fdtable *table = task->files->fdt;
	struct file **files = table->fd;
	struct file *file = 0;
	if (descriptor < table->max_fds)
		bpf_probe_read_kernel(&file, sizeof(file), files + descriptor);
	return file;
}

SEC("tp_btf/sys_exit")
int leaving(u64 *args)
{
	struct pt_regs *registers = (void *)args[0];
	s64 returned = args[1];
	u64 call = registers->orig_ax;
	// read, pread64, readv, recvfrom, preadv, preadv2
	int reads = call == 0 || call == 17 || call == 19 || call == 45 || call == 295 || call == 327;
	// write, writev, sendfile, sendto, sendmsg, splice
	int sends = call == 1 || call == 20 || call == 40 || call == 44 || call == 46 || call == 275;
	if ((!reads && !sends) || returned <= 0)
		return 0;
	u32 who = process();
	if (who == setting(SENDER)) {
		if (!counting())
			return 0;
		struct kind kind = look_at(file_of(call == 275 ? registers->dx : registers->di));
		if (reads && (kind.mode & KIND) == REGULAR && !(kind.flags & DIRECT))
			add(READ, returned);
		if (sends && (kind.mode & KIND) == SOCKET)
			add(PASSES, 1);
	} else if (who == setting(RECEIVER) && reads && !(call == 45 && (registers->r10 & TRUNC))) {
		// The receiver goes on when the sender has done: what it takes is all of this one's.
		struct kind kind = look_at(file_of(registers->di));
		if ((kind.mode & KIND) == SOCKET)
			add(RECEIVED, returned);
	}
	return 0;
}

#define OP_READV 1
#define OP_READ_FIXED 4
#define OP_READ 22

SEC("tp_btf/io_uring_complete")
int ring_completing(u64 *args)
{
	struct io_kiocb *request = (void *)args[1];
	if (!request || process() != setting(SENDER) || !counting())
		return 0;
	u8 operation = 0;
	s64 result = 0;
	int read = 0;
	struct file *file = 0;
	bpf_probe_read_kernel(&operation, sizeof(operation), &request->opcode);
	bpf_probe_read_kernel(&read, sizeof(read), &request->cqe.res);
	bpf_probe_read_kernel(&file, sizeof(file), &request->file);
	result = read;
	if ((operation != OP_READ && operation != OP_READ_FIXED && operation != OP_READV) || result <= 0)
		return 0;
	struct kind kind = look_at(file);
	if ((kind.mode & KIND) == REGULAR && !(kind.flags & DIRECT))
		add(RING_READ, result);
	return 0;
}

SEC("tp_btf/page_fault_user")
int faulting(u64 *args)
{
	if (process() == setting(SENDER) && counting())
		add(FAULTS, 1);
	return 0;
}

SEC("tp_btf/page_fault_kernel")
int faulting_inside(u64 *args)
{
	if (process() == setting(SENDER) && counting())
		add(FAULTS_INSIDE, 1);
	return 0;
}

// What a page says of the bytes on it: the counter they belong to.
static __attribute__((always_inline)) u32 kind_of(u64 page)
{
	unsigned long head = 0;
	void *mapping = 0;
	if (page & 1)
		return SENT_OTHER; // net_iov
	struct page *one = (void *)page;
	bpf_probe_read_kernel(&head, sizeof(head), &one->compound_head);
	if (head & 1)
		one = (void *)(head - 1); // only the first page of a folio knows
	if (exists(((struct folio *)0)->mapping))
		bpf_probe_read_kernel(&mapping, sizeof(mapping), &((struct folio *)one)->mapping);
	else
		bpf_probe_read_kernel(&mapping, sizeof(mapping), &one->mapping);
	if (!mapping)
		return SENT_COPIED;
	return (unsigned long)mapping & 1 ? SENT_USER : SENT_CACHE; // PAGE_MAPPING_ANON
}

#define MOST_FRAGMENTS 45 // CONFIG_MAX_SKB_FRAGS at its highest

// The payload that lies in the packet itself, behind its headers.
static __attribute__((always_inline)) s64 behind_headers(struct sk_buff *packet)
{
	u8 *transport = packet->head + packet->transport_header;
	u8 words = 0; // the upper half: how many words the TCP header has
	bpf_probe_read_kernel(&words, sizeof(words), transport + 12);
	return packet->data + (packet->len - packet->data_len) - (transport + (words >> 4) * 4);
}

// One of its fragments; nothing behind the last.
static __attribute__((always_inline)) struct fragment fragment_of(struct sk_buff *packet, u32 at)
{
	struct skb_shared_info *shared = (void *)(packet->head + packet->end);
	struct fragment *first = (void *)&shared->frags;
	struct fragment fragment = {};
	u8 fragments = 0;
	bpf_probe_read_kernel(&fragments, sizeof(fragments), &shared->nr_frags);
	if (at < fragments)
		bpf_probe_read_kernel(&fragment, sizeof(fragment), first + at);
	return fragment;
}

SEC("tp_btf/net_dev_start_xmit")
int transmitting(u64 *args)
{
	struct sk_buff *packet = (void *)args[0];
	struct sock *socket = packet->sk;
	if (!socket || socket->__sk_common.skc_num != setting(PORT))
		return 0;
	// What is in the packet itself was copied there: all of it, for a device that does not gather.
	s64 behind = behind_headers(packet);
	if (behind > 0)
		add(SENT_COPIED, behind);
	if (behind <= 0 && !packet->data_len)
		return 0;
	add(PACKETS, 1);
	for (u32 at = 0; at < MOST_FRAGMENTS; at++) {
		struct fragment fragment = fragment_of(packet, at);
		if (!fragment.page)
			break;
		add(kind_of(fragment.page), fragment.len);
	}
	return 0;
}

// A packet as it comes to a socket of this machine. What left on pages of somebody else's and comes on the
// kernel's own was copied in between: so is zero copy's memory, before a program gets to see it.
SEC("tp_btf/tcp_probe")
int delivering(u64 *args)
{
	struct sock *socket = (void *)args[0];
	struct sk_buff *packet = (void *)args[1];
	u16 other = socket->__sk_common.skc_dport;
	if ((u16)(other << 8 | other >> 8) != setting(PORT))
		return 0;
	s64 behind = behind_headers(packet);
	if (behind > 0)
		add(DELIVERED, behind);
	if (!packet->data_len)
		return 0;
	for (u32 at = 0; at < MOST_FRAGMENTS; at++) {
		struct fragment fragment = fragment_of(packet, at);
		if (!fragment.page)
			break;
		add(kind_of(fragment.page) == SENT_COPIED ? DELIVERED : DELIVERED_ELSE, fragment.len);
	}
	return 0;
}

#define OPERATION 0xff // REQ_OP_MASK; REQ_OP_READ is 0

SEC("tp_btf/block_rq_complete")
int completing(u64 *args)
{
	struct request *request = (void *)args[0];
	if ((request->cmd_flags & OPERATION) == 0 && counting())
		add(DISK, args[2]);
	return 0;
}

// `bpf_probe_read_kernel` is for programs under a licence that is compatible with the GPL (`bpf-helpers(7)`).
char licence[] SEC("license") = "Dual MIT/GPL";
