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

#define KIND 0170000
#define REGULAR 0100000
#define SOCKET 0140000
#define DIRECT 040000 // O_DIRECT, on x86
#define TRUNC 0x20    // MSG_TRUNC: what is received is thrown away

SEC("tp_btf/sys_exit")
int leaving(u64 *args)
{
	struct pt_regs *registers = (void *)args[0];
	s64 returned = args[1];
	u64 call = registers->orig_ax;
	// read, pread64, readv, recvfrom, preadv, preadv2
	if (call != 0 && call != 17 && call != 19 && call != 45 && call != 295 && call != 327)
		return 0;
	u32 who = process();
	int sends = who == setting(SENDER);
	// The receiver goes on when the sender has done: what it takes is all of this one's.
	if ((!sends && who != setting(RECEIVER)) || returned <= 0 || (sends && !counting()))
		return 0;
	struct file *file = file_of(registers->di);
	if (!file)
		return 0;
	u32 flags = 0;
	u16 mode = 0;
	struct inode *inode = 0;
	bpf_probe_read_kernel(&flags, sizeof(flags), &file->f_flags);
	bpf_probe_read_kernel(&inode, sizeof(inode), &file->f_inode);
	if (!inode)
		return 0;
	bpf_probe_read_kernel(&mode, sizeof(mode), &inode->i_mode);
	if (sends && (mode & KIND) == REGULAR && !(flags & DIRECT))
		add(READ, returned);
	if (!sends && (mode & KIND) == SOCKET && !(call == 45 && (registers->r10 & TRUNC)))
		add(RECEIVED, returned);
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

SEC("tp_btf/net_dev_start_xmit")
int transmitting(u64 *args)
{
	struct sk_buff *packet = (void *)args[0];
	struct sock *socket = packet->sk;
	if (!socket || socket->__sk_common.skc_num != setting(PORT))
		return 0;
	// What is in the packet itself, behind its headers, was copied there: all of it, for a device that does
	// not gather.
	u8 *transport = packet->head + packet->transport_header;
	u8 words = 0; // the upper half: how many words the TCP header has
	bpf_probe_read_kernel(&words, sizeof(words), transport + 12);
	s64 behind = packet->data + (packet->len - packet->data_len) - (transport + (words >> 4) * 4);
	if (behind > 0)
		add(SENT_COPIED, behind);
	if (behind <= 0 && !packet->data_len)
		return 0;
	add(PACKETS, 1);
	struct skb_shared_info *shared = (void *)(packet->head + packet->end);
	u8 fragments = 0;
	bpf_probe_read_kernel(&fragments, sizeof(fragments), &shared->nr_frags);
	struct fragment *first = (void *)&shared->frags;
	for (u32 at = 0; at < MOST_FRAGMENTS; at++) {
		if (at >= fragments)
			break;
		struct fragment fragment = {};
		bpf_probe_read_kernel(&fragment, sizeof(fragment), first + at);
		add(kind_of(fragment.page), fragment.len);
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
