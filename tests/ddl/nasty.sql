create table n01 (id int not null auto_increment, primary key(id), `a``b` varchar(30) default ';-- not a comment', c char(1) default '\'') engine=InnoDB default charset=latin1 collate=latin1_bin comment='it''s; /* x */'//
create table n02 (a decimal(10 , 2) unsigned zerofill, b double precision, c float(7,3), d dec, e fixed(5), f numeric(3,1), g real, h integer unsigned, i int1, j int2, k int3, l int4, m int8, n middleint, o bool, p boolean, q long, r long varbinary, s float(53), t float8, u float4, v serial)//
create table n03 (a national char(3), b nchar(4), c nvarchar(5), d national varchar(6), e nchar varchar(7), f character varying(8), g char byte, h varchar(3) byte, i text(300), j blob(70000), k tinytext, l char(3) ascii, m char(3) unicode, n char(2) binary, o text character set utf8mb4 binary, p varchar(10) charset latin1 collate latin1_bin, q long char varying)//
create table n04 (e enum('a,b','c''d','e)f','\\','g"h', 'x;y') character set latin1 not null default 'c''d', s set('1','2','(') null default '1,2')//
create table n05 (a int primary key) partition by range (a) (partition p0 values less than (10) comment = 'x)', partition p1 values less than maxvalue)//
create table n06 (a int, b int as (a * 2), c int generated always as ((a + b)) stored unique key comment 'g', d varchar(20) as (concat('(', a, '),')) virtual not null, e json, f int as (json_extract(e, '$.x')) virtual, key fx ((a + 1) desc), index mv ((cast(e->'$.z' as unsigned array))), check (a > 0), constraint `c,1` check (b < 5) not enforced)//
create table n07 (id binary(16) default (uuid_to_bin(uuid())), b json default (json_array()), c point default (point(0,0)), d int default (1 + 2), e timestamp(6) default current_timestamp(6) on update current_timestamp(6), f datetime default now(), g date default (curdate()), h varchar(9) default _utf8mb4'x' , i bit(4) default b'101', j int default -5, k varbinary(3) default x'0A', l varchar(5) default 0x41, m int default 0x10, n text default ('abc'))//
create table if not exists n01 (zzz int)//
create table n08 like n01//
create table n09 (like n02)//
create table n10 (primary key (x), y int) select 1 as x, 'é' as `s p`//
create table n11 ignore select 1 as x union all select 1//
create table n12 as (select * from n01)//
create table n12b as table n01//
create table n12c as with recursive r(n) as (select 1 union all select n+1 from r where n<3) select n from r//
create table n12d values row(1,'a'), row(2,'b')//
/*!40101 create */ table n13 /*!50100 (a int) */ /*!99999 nonsense ( */ /*!80000 comment='z' */ //
create /* c1 */ table /*! if not exists */ n14 -- c2
( a int # c3
 , b /*!80023 int invisible */ default 7 ) //
create table n15 (a int references n01(id), b int, foreign key (b) references n01 (id) match full on delete set null on update cascade, fulltext key ft (c), c text, spatial index sp (g), g point not null srid 0)//
create database `n 16`//
create table `n 16`.x (a int)//
create table nasty.n17 (a int) engine = myisam , row_format dynamic auto_increment=5 avg_row_length 10 checksum 1 delay_key_write=1 insert_method=no max_rows=100 min_rows 1 pack_keys default stats_persistent=0 key_block_size=0 //
create table N18 (`ID` int, Id2 int)//
create table n19 (`key` int, `primary` int, `check` int, comment varchar(5) comment 'comment', `column` int, date date, time time, timestamp timestamp null, year year, `order` int, text text, `json` json, status int, action int, bit bit, enum enum('enum'), `set` set('set'), value int, data int, type int, first int, after int, position int, key k (`key`), `index` int, `unique` int, key `unique` (`unique`), any int, begin int, end int, name int, no int, offset int, `rank` int, `system` int, `lateral` int, `of` int, visible int, invisible int, generated_ int, `virtual` int, `stored` int, always int)//
alter table n19 add column after_ int after first, add first1 int first, drop comment, change `key` `Key` bigint unsigned null comment 'a,b', modify date datetime(3) not null default '2020-01-01' after time, rename column value to `data2`, alter data set default 5, alter column type set default (1+1), alter status drop default, rename key k to k2, add unique index u (text(3))//
alter table n01 add (x1 int, x2 varchar(3) default 'a,b', index (x1)), add x3 int, add column (x4 int)//
alter table n01 add x5 int after x4, add x6 int after x5, add x7 int first//
alter table n01 rename to n01r//
alter table n01r rename as n01//
alter table n01 rename = n01q//
alter table n01q rename n01//
alter table n01 rename column x1 to x2, rename column x2 to x1//
alter table n01 change x1 x2 int, change x2 x1 varchar(3)//
alter table n01 drop column x3, add column x3 varchar(10) default 'new'//
alter table n01 drop x4, rename column x3 to x4//
alter table n15 drop foreign key n15_ibfk_1, drop foreign key n15_ibfk_2//
alter table n01 drop primary key, add primary key (id, x4), modify id bigint not null auto_increment, auto_increment = 100//
alter table n01 convert to character set utf8mb4 collate utf8mb4_unicode_ci, default collate = utf8mb4_bin//
alter table n01 order by x4 desc, id//
alter table n01//
alter table n01 engine=innodb, force, row_format=compact, comment 'x', disable keys, enable keys//
alter table n01 alter x4 set invisible, alter column x7 set visible, alter index x1 invisible//
alter table n06 modify column b bigint as (a * 3), drop column d, algorithm=default, lock default//
alter table n06 modify c int null comment 'was generated'//
alter table n05 reorganize partition p1 into (partition p1 values less than (20), partition p2 values less than maxvalue)//
alter table n05 truncate partition p0, p1//
alter table n05 truncate partition all//
alter table n05 drop partition p0//
alter table n05 remove partitioning//
alter table n05 add column zz int partition by hash(a) partitions 4//
create index i1 on n02 (a desc, b) using btree comment 'x' algorithm inplace lock=none//
create fulltext index `i2` on n03 (i)//
drop index i1 on n02 algorithm default//
rename table n02 to n02b, n03 to n02, n02b to n03//
rename tables n02 to nasty.n02x, `nasty`.`n02x` to n02//
drop table if exists n08 , nasty.n09 cascade//
drop tables n10 restrict//
drop table n11,n12,n12b,n12c,n12d//
truncate n13//
truncate table nasty . n14//
create temporary table tt1 (a int)//
create table n20 like tt1//
drop temporary table tt1//
create database `d-1` default character set = latin1 collate latin1_bin encryption='N'//
create schema if not exists d2//
alter database `d-1` read only = 0 charset utf8mb4//
create table `d-1`.`t.1` (a int) //
rename table `d-1`.`t.1` to d2.`t``1`//
use d2//
alter table `t``1` add b int, rename nasty.n21//
use nasty//
drop schema `d-1`//
drop database if exists d2//
create table n22 (a int) ; //
create table n23 (a int, b int) /* trailing */ -- eol
//
 	 create	table
n24(a int)//
create table n25(a varchar(10)charset utf8mb4 not null default'x'comment'y',b int(11)unsigned zerofill not null,c datetime(6)null)//
create table n26 (a int column_format fixed storage memory, b int column_format dynamic, c int comment 'no attr', d vector(3), e vector, f geometry srid 4326 not null, g geomcollection, h multilinestring)//
create table n27 (a char(0), b bit, c bit(64), d year(4), e time(6), f varbinary(0), g binary, h char)//
create table 1n28 (1a int, 2e int, `3` int, $x int, 0x_y int, ünï int, _z int)//
create table n29 (a int) charset utf8mb4 collate = 'utf8mb4_bin' charset = 'utf8mb4'//
create table n30 (a int not null default 1, b int default null null, c int not null unique, d int unique key, e int key)//
create table n31 (a timestamp not null default localtime on update localtimestamp(), b datetime(3) default localtimestamp(3))//
alter table n30 drop primary key, add constraint primary key using btree (c)//
alter table n30 drop e, drop index c, drop key d, add constraint uq unique (c), alter b set default (a + 1)//
alter table n30 add column z2 int, add column z int after z2, modify column a int first, modify column b int after c//
create table n32 (a int) tablespace innodb_file_per_table storage disk//
create table n34 (a int) union=(n17)//
create table n35 (a int, b int, key using hash (a), index b_i (b) comment ')' visible, constraint foo unique ba (b), key k3 ((a+b), (a*2) desc) invisible)//
CREATE TABLE n36 (a INT DEFAULT '7', b ENUM("x","y") DEFAULT "x", c VARCHAR(5) DEFAULT "a""b", d VARCHAR(9) DEFAULT 'a' 'b' )//
create table n37 (a varchar(10) default 'a' not null collate utf8mb4_bin, b int comment "c", c int default '1' comment 'd' default '2')//
create table n38 (a int) /*!50100 partition by list (a) (partition `p 1` values in (1,2,null), partition p2 values in (3)) */ //
create table n39 (a int, b int) partition by key algorithm=2 (a) partitions 2//
create table n40 (a int, b date) partition by range (a) subpartition by hash (to_days(b)) subpartitions 2 (partition p0 values less than (1) (subpartition s0, subpartition s1), partition p1 values less than maxvalue (subpartition s2 comment 'x', subpartition s3 comment=')'))//
alter table n38 rebuild partition `p 1`, p2//
alter table n38 discard partition p2 tablespace//
alter table n01 add index if_x (x7), add key (x4(2)), add fulltext (x4)//
alter table nasty.n22 add a2 int, rename to nasty.n22z, add a3 int//
alter table n23 secondary_engine = null//
alter table n24 autoextend_size = 4M, max_rows=9//
alter table n25 default collate utf8mb4_bin, comment=''//
create table n41 (a int, b int, c int); create table n42(a int)//
analyze table n01 update histogram on x7 with 10 buckets//
create view nv as select 1 as a; //
alter view nv as select 2 as a//
rename table nv to nv2//
drop view if exists nv2, n01//
create table n44 (id int primary key, body mediumtext not null, unique key uk (body(100) desc)) auto_increment=7 stats_auto_recalc=1 stats_sample_pages=10 compression='zlib' connection='x' password='p'//
set sql_mode='ansi_quotes'//
create table "an""q"("a b" int primary key, "x`y" varchar(9) default 'a"b')//
set sql_mode='no_backslash_escapes'//
create table nbe(a int primary key, b varchar(20) default 'x\', c int comment '\')//
set sql_mode='ansi_quotes,no_backslash_escapes,pipes_as_concat'//
alter table nbe add "d;\" varchar(9) default 'q''\' comment 'a'//
set sql_mode='real_as_float'//
create table nreal (a real, b double precision, c real(5,2), d real not null default .5)//
set sql_mode=default//
create table `we``ird ; -- x` (`a``b` int primary key, `select` int, `é中` int, 1a int, `a b` int)//
alter table `we``ird ; -- x` rename column `É中` to `Ü`, modify `A B` bigint//
set sql_mode='interpret_utf8_as_utf8mb4'//
create table alias8 (a char(3) charset utf8, b char(3) collate utf8_bin, c nchar(3), d char(3) charset utf8mb3) charset utf8//
alter table alias8 add e char(3), convert to charset utf8//
set sql_mode=default//
create table whole (a varchar(200), b varbinary(5), c char(3) charset utf8mb4, d text, primary key (a(200), b(5), c(2), d(9)))//
alter table whole drop primary key, add primary key (c(3), a(199))//
create table mask (a int masking policy p1, b int)//
alter table mask alter column a drop masking policy, alter b set masking policy p2//
set sql_generate_invisible_primary_key = on//
create table invented (a int)//
alter table invented add b int first, modify a bigint first//
set sql_generate_invisible_primary_key = off//
alter table invented add c int first//
create table d🐬(`é🐬` int, 🐬b int)//
alter table `d🐬` rename column 🐬b to b, drop `é🐬`//
create table nasty./*c*/cm(a int)//
create table `tab
nl`(a int)//
